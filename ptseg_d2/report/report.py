"""The report of a run: one HTML page from its folder and its models, without anything outside of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ptseg_d2.atomic import write_atomically
from ptseg_d2.classes.tables import ClassTable
from ptseg_d2.recipe.groups import parts_of
from ptseg_d2.report.charts import Curve, curve_grid, heat_map
from ptseg_d2.report.embeddings import embedding_blocks
from ptseg_d2.report.examples import class_legend, example_blocks
from ptseg_d2.report.page import (
    Block,
    Cell,
    Figure,
    Gallery,
    Heading,
    Listing,
    Section,
    Table,
    Text,
    missing,
    number_cell,
    render,
)
from ptseg_d2.report.run_files import (
    Curves,
    first_middle_last,
    image_scores,
    pseudo_label_pictures,
    read_curves,
    read_details,
    read_json,
)
from ptseg_d2.report.score_tables import before_after, per_class_blocks, round_blocks, score_blocks
from ptseg_d2.results.evaluation import DETAILS
from ptseg_d2.results.rows import PanopticRows
from ptseg_d2.runs.done import RESULTS
from ptseg_d2.runs.provenance import code_version, hardware, library_versions, now
from ptseg_d2.stages import StageRun
from ptseg_d2.visualization.panels import data_uri, split_pair

import numpy as np
from detectron2.config import CfgNode
from PIL import Image

logger = logging.getLogger(__name__)

Results = dict[str, Any]


def write_report(cfg: CfgNode, rows: PanopticRows, path: Path) -> Path:
    """Write the report of an evaluated run; only in the main process.

    Args:
        cfg: the config the user asked for.
        rows: of the run, all stages finished.
        path: HTML file to write.

    Returns:
        The file.
    """
    start = time.perf_counter()
    output = Path(cfg.OUTPUT_DIR)
    results = read_json(output / RESULTS)
    runs = list(rows.runs.values())
    sections = [
        Section("What ran", what_ran(cfg, results)),
        Section("Before and after", score_blocks(results)),
        Section("Curves", [*curve_blocks(runs), *round_blocks(results)]),
        Section("Per class", [*per_class_blocks(results), *confusion_blocks(output, results)]),
        Section("Worst and best test images", _examples(cfg, rows, output)),
        Section("Embeddings", _embeddings(cfg, rows)),
        Section("Pseudo labels over time", pseudo_label_blocks(runs, rows.classes)),
    ]
    title = f"{Path(results.get('config', 'run')).stem}, seed {results.get('seed', cfg.SEED)}"
    write_atomically(path, render(title, sections))
    logger.info("%s: %.1f MB in %.0f s", path, path.stat().st_size / 1e6, time.perf_counter() - start)
    return path


def what_ran(cfg: CfgNode, results: Results) -> list[Block]:
    """Config, data, code, libraries, hardware, and the time of each stage."""
    facts = {
        "config": results.get("config", "unknown"),
        "seed": results.get("seed", cfg.SEED),
        **{f"{role} data": ", ".join(names) for role, names in results.get("datasets", {}).items() if names},
        "code": code_version(),
        "libraries": library_versions(),
        "hardware": hardware(cfg),
        "evaluated": now(),
    }
    rows = [[Cell(name, name), Cell(str(value), str(value))] for name, value in facts.items()]
    seconds: dict[str, float] = results.get("seconds", {})
    times = [[Cell(stage, stage), number_cell(value)] for stage, value in seconds.items()]
    total = [[Cell("all stages", None), number_cell(sum(seconds.values()))]]
    return [
        Table(["what", "value"], rows, "Code, libraries and hardware are those of the evaluation.", is_words=True),
        Table(["stage", "seconds"], times, "Training, wall clock; groups are added up.", fixed_rows=total),
        Listing("The whole config", cfg.dump()),
    ]


def curve_blocks(runs: Sequence[StageRun]) -> list[Block]:
    """Losses and pseudo-label statistics of each stage, a line per group of classes."""
    blocks: list[Block] = []
    silent = []
    for run in runs:
        name = run.name
        curves = {part.group_folder: read_curves(part.folder / "metrics.json") for part in parts_of(run)}
        losses = _panels(curves, ("total_loss", "loss_"))
        pseudo = _panels(curves, ("pseudo/", "oracle/"))
        if not losses:
            silent.append(name)
            continue
        blocks.append(Heading(name))
        for what, panels in (("losses", losses), ("pseudo labels", pseudo)):
            if panels:
                blocks.append(Figure(curve_grid(panels), f"{what} of {name}: {', '.join(panels)}", what, is_wide=True))
    if silent:
        blocks.append(
            missing(f"Without curves, because they do not train or left no metrics.json: {', '.join(silent)}.")
        )
    return blocks


def _panels(curves: dict[str, Curves], prefixes: tuple[str, ...]) -> dict[str, dict[str, Curve]]:
    """Name of a scalar -> label of the run -> curve, a total first."""
    names = dict.fromkeys(name for run in curves.values() for name in sorted(run) if name.startswith(prefixes))
    ordered = sorted(names, key=lambda name: (name != "total_loss", name))
    return {name: {label: run[name] for label, run in curves.items() if name in run} for name in ordered}


def confusion_blocks(output: Path, results: Results) -> list[Block]:
    """Heat map of the last semantic row."""
    rows = before_after(results, "semantic")
    details = read_details(output, rows[-1]).get("semantic", {}) if rows else {}
    names, confusion = details.get("class_names"), details.get("confusion")
    if not names or not confusion:
        return [missing(f"No confusion matrix: {output / DETAILS} has none of the last semantic row.")]
    counts = np.array(confusion)
    columns = [*names, "void"][: counts.shape[1]]
    if counts.shape[1] > len(names) and not counts[:, len(names) :].any():  # nothing was left unpredicted
        counts, columns = counts[:, : len(names)], list(names)
    caption = f"Confusion of row {rows[-1]!r}: what the pixels of each true class became, in percent"
    return [Figure(heat_map(counts, names, columns), caption, caption, is_wide=True)]


def _examples(cfg: CfgNode, rows: PanopticRows, output: Path) -> list[Block]:
    names = [row.name for row in rows.panoptic_rows()]
    if not names:
        return [missing("This recipe has no panoptic result: it lacks a branch.")]
    if cfg.EVAL.REPORT_IMAGES < 1:
        return [missing("EVAL.REPORT_IMAGES is 0.")]
    after = image_scores(read_details(output, names[-1]))
    if not after:
        return [missing(f"No PQ per image: {output / DETAILS / names[-1]}.json is missing or empty.")]
    before = {score.image_id: score.pq for score in image_scores(read_details(output, names[0]))}
    return example_blocks(cfg.DATASETS.TEST[0], rows, before, after, cfg.EVAL.REPORT_IMAGES)


def _embeddings(cfg: CfgNode, rows: PanopticRows) -> list[Block]:
    if not rows.panoptic_rows():
        return [missing("This recipe has no panoptic result: it lacks a branch.")]
    return embedding_blocks(cfg.DATASETS.TEST[0], rows)


def pseudo_label_blocks(runs: Sequence[StageRun], classes: ClassTable) -> list[Block]:
    """Pictures of `ptseg_d2.training.pseudo_label_pictures`: first, middle and last of each image."""
    blocks: list[Block] = []
    for run in runs:
        gallery = []
        for part in parts_of(run):
            group = f"{part.group_folder}, " if part.group_folder else ""
            for image_id, shots in pseudo_label_pictures(part.folder).items():
                gallery.append((f"{group}{image_id}", _over_time(image_id, first_middle_last(shots))))
        if gallery:
            blocks += [Heading(run.name), Gallery(gallery)]
    if not blocks:
        return [missing("No pictures: no stage trained itself, or EVAL.PSEUDO_LABEL_PICTURES was 0.")]
    text = (
        "Class colours: classes that are learned, stripes: unsure pixels. Instances: one colour each, grey: unstable, "
        "not learned from."
    )
    return [Text(text), class_legend(classes), *blocks]


def _over_time(image_id: str, shots: Sequence[tuple[int, Path]]) -> list[Figure]:
    pictures = [(finished, *split_pair(np.array(Image.open(path).convert("RGB")))) for finished, path in shots]
    figures = [Figure(data_uri(pictures[0][1], is_photo=True), f"target image {image_id}", "target image")]
    for finished, _, labels in pictures:
        caption = f"after {finished} iterations"
        figures.append(Figure(data_uri(labels, is_photo=True), f"pseudo label of {image_id} {caption}", caption))
    return figures
