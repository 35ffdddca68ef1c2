"""The report of a run: what is in it, and what it says where something is missing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

from ptseg_d2.classes.streets import CITYSCAPES, CLASS_NAMES
from ptseg_d2.recipe.configs import load_config, load_recipe
from ptseg_d2.report import embeddings as report_embeddings
from ptseg_d2.report.embeddings import Sample, _fewer
from ptseg_d2.report.examples import class_legend
from ptseg_d2.report.page import Block, Cell, Gallery, Section, Table, Text, number_cell, render
from ptseg_d2.report.report import write_report
from ptseg_d2.stages import StageRun

import numpy as np
import pytest
import train_net
from detectron2.config import CfgNode
from fake_run import ODD_ID, FakeRows, write_run
from tiny import CONFIGS, TINY


@pytest.fixture(autouse=True)
def few_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """t-SNE of them takes no time."""
    monkeypatch.setattr(report_embeddings, "MAX_POINTS", 100)


@pytest.fixture
def run(world: Path, tmp_path: Path) -> Iterator[tuple[CfgNode, list[StageRun]]]:
    """Config and stages of an empty run folder."""
    overrides = [*TINY, "OUTPUT_DIR", str(tmp_path / "out")]
    (tmp_path / "out").mkdir()
    yield (
        load_config(CONFIGS / "selftrain_icm.yaml", overrides),
        load_recipe(CONFIGS / "selftrain_icm.yaml", overrides),
    )


def report(run: tuple[CfgNode, list[StageRun]], rows: FakeRows | None = None) -> str:
    path = Path(run[0].OUTPUT_DIR) / "report.html"
    assert write_report(run[0], rows or FakeRows(*run), path) == path
    return path.read_text(encoding="utf-8")


def test_what_comes_from_a_run_is_escaped() -> None:
    nasty = "<script>alert(1)</script>\"'&"
    blocks: list[Block] = [
        Text(nasty),
        Table([nasty], [[Cell(nasty, nasty, nasty, nasty)]], nasty),
        Gallery([(nasty, [])]),
    ]
    page = render(nasty, [Section(nasty, blocks)])
    assert page.count("<script>") == 1 and "alert(1)</script>" not in page
    assert 'data-value="&lt;script&gt;alert(1)&lt;/script&gt;&#34;&#39;&amp;"' in page


@pytest.mark.parametrize(
    "value, interval, text, note",
    [
        (1.25, None, "1.2", ""),
        (0.0, [0, 2], "0.0", "0.0 – 2.0"),
        (1.0, [None, 2.0], "1.0", ""),
        (None, [1.0, 2.0], "–", ""),
        (float("nan"), None, "–", ""),
    ],
)
def test_numbers(value: float | None, interval: list[float | None] | None, text: str, note: str) -> None:
    cell = number_cell(value, interval)
    assert (cell.text, cell.note) == (text, note)
    assert (cell.value is None) == (text == "–")


def test_all_sections_of_a_whole_run(run: tuple[CfgNode, list[StageRun]]) -> None:
    write_run(*run)
    page = report(run)
    titles = re.findall(r"<h2>\d\. (.*?)</h2>", page)
    assert titles == [
        *("What ran", "Before and after", "Curves", "Per class", "Worst and best test images", "Embeddings"),
        "Pseudo labels over time",
    ]
    missing = re.findall(r'<p class="missing">(.*?)</p>', page)
    assert missing == [
        "Without curves, because they do not train or left no metrics.json: semantic_adapted, instance_adapted."
    ]
    text = unescape(page)
    # The fake images have PQ 0, 10, 20 before and 1 more after.
    assert re.findall(r"PQ (\S+) → (\S+)</h3>", text) == [("0.0", "1.0"), ("10.0", "11.0"), ("20.0", "21.0")]
    assert "Worst 3 of 3 images by PQ of row 'selftrain'" in text and "Best" not in re.sub("Worst and best", "", text)
    assert f"car, {ODD_ID}" in text and "after 300 iterations" in text and ODD_ID not in page
    assert "t-SNE" in page and "perplexity 30" in page
    assert not re.search(r'(src|href)="(?!data:|#)', page) and "url(" not in page and "@import" not in page


def test_best_images_are_not_among_the_worst(run: tuple[CfgNode, list[StageRun]]) -> None:
    write_run(*run)
    run[0].EVAL.REPORT_IMAGES = 2
    text = report(run)
    assert "Worst 2 of 3 images" in text and "Best 1 of 3 images" in text
    assert [pq for _, pq in re.findall(r"PQ (\S+) → (\S+)</h3>", text)] == ["1.0", "11.0", "21.0"]


def test_an_empty_folder_gives_a_report_that_says_what_is_missing(run: tuple[CfgNode, list[StageRun]]) -> None:
    page = report(run, FakeRows(*run, []))
    missing = " ".join(re.findall(r'<p class="missing">(.*?)</p>', page))
    for part in ("holds no scores", "Without curves", "per class", "confusion matrix", "lacks a branch", "No pictures"):
        assert part in missing


def test_no_instance_and_no_truth_of_an_image(run: tuple[CfgNode, list[StageRun]]) -> None:
    write_run(*run)
    details = Path(run[0].OUTPUT_DIR) / "details" / "selftrain.json"
    details.write_text(json.dumps({"panoptic": {"images": [{"image_id": "gone", "PQ": 1.0}]}}))
    rows = FakeRows(*run)
    rows.networks = []  # no class is separated, so that no thing is found
    page = report(run, rows)
    assert "No instance was found in 3 evenly spread test images." in page
    assert "No confusion matrix" in page and "Worst 1 of 1 images" in page


def test_one_row_only(run: tuple[CfgNode, list[StageRun]]) -> None:
    """As of the oracle recipe: there is no before."""
    write_run(*run)
    page = report(run, FakeRows(*run, ["selftrain"]))
    assert re.findall(r": (PQ [^<]*)</h3>", page) == ["PQ 1.0", "PQ 11.0", "PQ 21.0"]


def test_points_of_a_plane_are_drawn_without_repetition() -> None:
    numbers = np.arange(20)
    fewer = _fewer(Sample(numbers[:, None].astype(float), numbers, numbers), 10)
    assert len(set(fewer.instances.tolist())) == 10 and np.array_equal(fewer.points[:, 0], fewer.classes)


def test_the_legend_names_every_class() -> None:
    assert [name for name, _ in class_legend(CITYSCAPES).entries] == [*CLASS_NAMES, "void"]


def test_a_real_recipe(world: Path, tmp_path: Path) -> None:
    """Trained for three steps: whatever such networks predict makes a report."""
    wanted = ["EVAL.NUM_PICTURES", "0", "EVAL.REPORT", "True", "EVAL.PSEUDO_LABEL_PICTURES", "1"]
    overrides = [*TINY, "OUTPUT_DIR", str(tmp_path / "out"), *wanted]
    config = str(CONFIGS / "selftrain_icm.yaml")
    train_net.main(train_net.build_parser().parse_args(["--config-file", config, *overrides]))
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "semantic_selftrain" in page and "after 3 iterations" in page
    assert page.count("data:image/") > 20
