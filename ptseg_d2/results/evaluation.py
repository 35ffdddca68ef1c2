"""Scores and export of a recipe, from the checkpoints of its finished stages."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ptseg_d2.atomic import write_atomically
from ptseg_d2.classes.tables import ClassTable
from ptseg_d2.data.streams import build_test_loader
from ptseg_d2.detectors.transfer import detector_scores
from ptseg_d2.evaluation.evaluators import PanopticEvaluator
from ptseg_d2.evaluation.ground_truth import GroundTruthCache
from ptseg_d2.recipe.groups import parts_of
from ptseg_d2.recipe.models import trained_network
from ptseg_d2.results.export import PanopticExport
from ptseg_d2.results.passes import ORACLE_MASKS, OUTPUT, SECTIONS, Pass, Scored, passes
from ptseg_d2.results.pictures import draw_pictures
from ptseg_d2.results.row import ROWS, Row, rows_of
from ptseg_d2.results.rows import ResultRows
from ptseg_d2.results.tables import update_results
from ptseg_d2.runs.done import RESULTS, read_done
from ptseg_d2.stages import StageRun
from ptseg_d2.stages.table import DETECTOR, Branch

from detectron2.config import CfgNode
from detectron2.evaluation import DatasetEvaluator, inference_on_dataset
from detectron2.utils import comm

logger = logging.getLogger(__name__)

DETAILS = "details"
"""Folder below OUTPUT_DIR with one file per row of results.json."""


def evaluate_recipe(cfg: CfgNode, rows: ResultRows, config_file: str) -> dict[str, Any]:
    """Fill OUTPUT_DIR/results.json row by row, export the last panoptic row, draw pictures.

    Without DATASETS.TEST it only says what was trained, which is what tools/demo.py needs.

    Args:
        cfg: the config the user asked for.
        rows: of its recipe, all stages finished.
        config_file: for the record.

    Returns:
        The content of results.json (main process).
    """
    path = Path(cfg.OUTPUT_DIR, RESULTS)
    header = {
        "config": config_file,
        "seed": cfg.SEED,
        "datasets": {key.lower(): list(cfg.DATASETS[key]) for key in ("SOURCE", "TARGET", "TEST")},
        "seconds": {name: stage_seconds(run) for name, run in rows.runs.items()},
        "classes": _means(rows.models.classes),
    }
    results: dict[str, Any] = {}
    if comm.is_main_process():
        set_aside_other_results(path, header)
        forget_rounds(path)
        results = update_results(path, header)
    if not cfg.DATASETS.TEST:
        logger.info(
            "DATASETS.TEST is empty: nothing is evaluated. tools/demo.py --run-folder %s shows what was learned",
            cfg.OUTPUT_DIR,
        )
        return results
    for update in _updates(cfg, rows):
        if comm.is_main_process():
            results = update_results(path, update)
    if comm.is_main_process():
        for stage in rows.stages_of(Branch.DETECTOR):
            run = rows.runs[stage]
            scores = detector_scores(trained_network(run), run.cfg, cfg.DATASETS.TEST[0])
            results = update_results(path, _entry("instance", Row(DETECTOR), scores))
        if rows.round_rows():
            results = update_results(path, {"rounds": _rounds_summary(rows, results)})
        draw_pictures(rows, cfg)
    return results


def _updates(cfg: CfgNode, rows: ResultRows) -> Iterator[dict[str, Any]]:
    """What each pass over the test images adds to results.json."""
    ground_truth = GroundTruthCache(rows.models.classes)
    exported = [Scored(OUTPUT, "panoptic", row) for row in rows.panoptic_rows()[-1:]]
    for one in passes(rows):
        names = ", ".join(f"{s.section}.{s.row.name}" for s in one.scored)
        logger.info("Evaluating %s on %s", names, cfg.DATASETS.TEST[0])
        yield _evaluate(cfg, one, ground_truth, export=any(s in exported for s in one.scored))


def _means(classes: ClassTable) -> dict[str, list[str]]:
    """Names of the classes of every mean."""
    means = {**classes.panoptic_means, **classes.semantic_means}
    return {name: [classes.names[i] for i in ids] for name, ids in means.items()}


def _entry(section: str, row: Row, scores: Mapping[str, Any]) -> dict[str, Any]:
    """A row of results.json with what it is; intervals of an earlier evaluation go."""
    return {section: {row.name: {"ci95": None, **scores}}, ROWS: {row.name: row.facts()}}


def _evaluate(cfg: CfgNode, one: Pass, ground_truth: GroundTruthCache, export: bool) -> dict[str, Any]:
    """One pass over the test images; returns section -> row -> scores, and writes what a report shows of each image."""
    name = cfg.DATASETS.TEST[0]
    options = {"ground_truth": ground_truth, "bootstrap": cfg.EVAL.BOOTSTRAP}
    with_classes = {s.key for s in one.scored if s.section == "semantic"}
    evaluators = {
        key: PanopticEvaluator(name, panoptic_key=key, semantic=key in with_classes, **options)
        for key in dict.fromkeys(s.key for s in one.scored)
    }
    coco = os.path.join(cfg.OUTPUT_DIR, "coco_panoptic")
    exports = [PanopticExport(coco=coco, ground_truth=ground_truth, classes=ground_truth.classes)] if export else []
    scores = inference_on_dataset(one.model, build_test_loader(cfg, name), _Together(evaluators, exports))
    update: dict[str, Any] = {}
    for key, section, row in one.scored if comm.is_main_process() else []:
        entry = _entry(section, row, scores[key]["instance" if section == ORACLE_MASKS else section])
        for part, content in entry.items():
            update.setdefault(part, {}).update(content)
        if section in ("panoptic", "semantic"):
            details = {section: evaluators[key].details[section]}
            update_results(os.path.join(cfg.OUTPUT_DIR, DETAILS, f"{row.name}.json"), details)
    return update


class _Together(DatasetEvaluator):
    """Several evaluators of one pass whose results have the same names."""

    def __init__(self, evaluators: Mapping[str, DatasetEvaluator], silent: Sequence[DatasetEvaluator]) -> None:
        """
        Args:
            evaluators: by the name of their results.
            silent: evaluators without a result.
        """
        self.evaluators = evaluators
        self.silent = silent

    def reset(self) -> None:
        """Begin anew."""
        for evaluator in (*self.evaluators.values(), *self.silent):
            evaluator.reset()

    def process(self, inputs: Any, outputs: Any) -> None:
        """Show a batch to all."""
        for evaluator in (*self.evaluators.values(), *self.silent):
            evaluator.process(inputs, outputs)

    def evaluate(self) -> dict[str, Any]:
        """Name -> result of each evaluator."""
        for evaluator in self.silent:
            evaluator.evaluate()
        return {name: evaluator.evaluate() for name, evaluator in self.evaluators.items()}


def _rounds_summary(rows: ResultRows, results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Per round its row, the label-free agreement, main scores, and whether it is the one that is kept."""
    summary = []
    for number, (row, pair, agreement) in enumerate(zip(rows.round_rows(), rows.rounds, rows.agreements), 1):
        scores = {
            "PQ": results["panoptic"][row.name]["PQ"],
            "mIoU": results["semantic"][row.name]["mIoU"],
            "AP50": results["instance"][row.name]["AP50"],
        }
        is_kept = pair == rows.final
        summary.append({"round": number, "row": row.name, "agreement": agreement, "kept": is_kept, **scores})
    return summary


def set_aside_other_results(path: Path, header: dict[str, Any]) -> None:
    """Keep rows that are not this evaluation's as results.previous.json, so that rows never mingle.

    They are those of another config, seed or data set; and those of an older version, which did not say what they are:
    `forget_rounds` could not tell which to forget, nor a table which have seen labels.

    Args:
        path: results.json, which may be missing.
        header: what results.json is to say of its run.
    """
    if not path.exists():
        return
    old = json.loads(path.read_text(encoding="utf-8"))
    changed = [key for key in ("config", "seed", "datasets") if old.get(key) != header[key]]
    is_undescribed = ROWS not in old and any(old.get(section) for section in (*SECTIONS, ORACLE_MASKS))
    if changed or is_undescribed:
        previous = path.with_name("results.previous.json")
        os.replace(path, previous)
        reason = f"of another {', '.join(changed)}" if changed else "of an older version"
        logger.info("%s is %s; it is kept as %s", path, reason, previous.name)


def forget_rounds(path: Path) -> None:
    """Take the rows of rounds out of a results file: this time there may be fewer, or others."""
    if not path.exists():
        return
    results = json.loads(path.read_text(encoding="utf-8"))
    results.pop("rounds", None)
    for section in SECTIONS:
        gone = {name for name, row in rows_of(results, [section]).items() if row.of_rounds}
        results[section] = {name: scores for name, scores in results.get(section, {}).items() if name not in gone}
    write_atomically(path, json.dumps(results, indent=1))


def stage_seconds(run: StageRun) -> float:
    """Wall-clock seconds of a finished stage; groups are added up."""
    return round(sum(read_done(part.folder)["seconds"] for part in parts_of(run)), 1)
