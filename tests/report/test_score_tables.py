"""The numbers of results.json as tables."""

from __future__ import annotations

from typing import Any

from ptseg_d2.report.page import Figure, Table, Text
from ptseg_d2.report.score_tables import (
    ORACLE_MARK,
    REFERENCE,
    REFERENCE_NOTE,
    before_after,
    per_class_blocks,
    round_blocks,
    row_cell,
    score_blocks,
)
from ptseg_d2.results.row import Row

import pytest

RESULTS: dict[str, Any] = {
    "panoptic": {
        "selftrain": {"PQ": 20.25, "ci95": {"PQ": [18.0, 22.5], "SQ": None}, "per_class": {"road": {"PQ": 70.0}}},
        "source": {"PQ": 10.0, "SQ": None, "ci95": None, "per_class": {"road": {"PQ": 50.0}}},
    },
    "semantic": {"selftrain": {"mIoU": 31.0, "IoU": {"road": 75.0, "car": None}}},
    "instance": {"components": {"AP50": 7.0}},
    "classes": {"mIoU": ["road", "car"], "PQ16": ["road", "car"]},
}


def table(blocks: list[Any]) -> Table:
    found = [block for block in blocks if isinstance(block, Table)]
    return found[0]


def test_rows_in_their_order_with_intervals_and_gaps() -> None:
    found = table(score_blocks(RESULTS))
    lines = {row[0].text: dict(zip(found.columns, row)) for row in found.rows}
    assert list(lines) == ["source", "selftrain", "components"]
    best = lines["selftrain"]["PQ"]
    assert (best.text, best.value, best.note) == ("20.2", 20.25, "18.0 – 22.5")
    assert lines["source"]["SQ"].value is None and lines["source"]["SQ"].text == "–"
    assert lines["components"]["AP50"].value == 7.0 and lines["components"]["PQ"].value is None


def test_the_papers_numbers_are_marked_and_apart() -> None:
    found = table(score_blocks(RESULTS))
    assert "not comparable" in REFERENCE_NOTE and found.fixed_title == REFERENCE_NOTE
    assert len(found.fixed_rows) == len(REFERENCE) == 3
    lines = {row[0].text: dict(zip(found.columns, row)) for row in found.fixed_rows}
    baseline, best = lines["thesis, baseline"], lines["thesis, self-trained v3+"]
    assert [baseline[key].text for key in ("PQ", "SQ", "RQ", "PQ+")] == ["19.83", "74.93", "24.76", "22.28"]
    assert [best[key].text for key in ("PQ", "SQ", "RQ", "PQ+", "mIoU")] == ["36.27", "79.86", "43.15", "38.99", "52.8"]
    assert baseline["mIoU"].text == "40.6 – 40.8" and baseline["precision50"].text == "7.09"
    assert all(row[0].note == "reference" for row in found.fixed_rows)


def test_other_worlds_stand_beside_no_street_scores() -> None:
    results = {**RESULTS, "classes": {"PQ": ["background", "leaf"]}}
    found = table(score_blocks(results))
    assert found.fixed_rows == [] and found.fixed_title == "" and "PQ16" not in found.columns


@pytest.mark.parametrize(
    "row, marked", [(Row("source"), False), (Row("oracle"), True), (Row("mix", chosen_by_labels=True), True)]
)
def test_rows_that_use_target_labels_are_marked(row: Row, marked: bool) -> None:
    assert row_cell(row).mark == (ORACLE_MARK if marked else "")


def test_true_class_masks_are_an_oracle() -> None:
    blocks = score_blocks({**RESULTS, "instance_oracle_masks": {"source": {"AP50": 70.0}}})
    last = blocks[-1]
    assert isinstance(last, Table) and "not label-free" in last.caption
    assert [row[0].mark for row in last.rows] == [ORACLE_MARK]


def test_classes_of_the_means_are_listed() -> None:
    assert Text("mIoU: mean over 2 classes: road, car.") in score_blocks(RESULTS)


def test_no_scores() -> None:
    assert all(isinstance(b, Text) and b.is_missing for b in [*score_blocks({}), *per_class_blocks({})])
    assert round_blocks({}) == []


def test_before_and_after_are_the_recipes_own() -> None:
    rows: dict[str, Any] = dict.fromkeys(
        ["components", "mix_oracle", "selftrain", "adapted", "source_thresholded", "source"], {}
    )
    assert before_after({"instance": rows}, "instance") == ["source", "selftrain"]
    assert before_after({"instance": {"oracle": {}}}, "instance") == ["oracle"]
    assert before_after({"instance": {"source": {}, "mix": {}}}, "instance") == ["source", "mix"]
    assert before_after({}, "instance") == []


def test_per_class_of_all_sections_in_one_table() -> None:
    blocks = per_class_blocks(RESULTS)
    assert isinstance(blocks[0], Figure) and "PQ per class: source and selftrain" in blocks[0].alt
    found = table(blocks)
    assert list(found.columns) == ["class", "PQ source", "PQ selftrain", "IoU selftrain"]
    assert [[cell.value for cell in row] for row in found.rows] == [["road", 50.0, 70.0, 75.0], ["car", *[None] * 3]]


def test_rounds_as_numbers_and_curves() -> None:
    rounds = [
        {"round": 1, "row": "first", "agreement": 0.5, "kept": False, "PQ": None},
        {"round": 2, "row": "second", "agreement": 0.6, "kept": True, "PQ": 20.0},
    ]
    blocks = round_blocks({"rounds": rounds})
    assert list(table(blocks).columns) == ["round", "row", "agreement", "kept", "PQ"]
    values = [[cell.value for cell in row] for row in table(blocks).rows]
    assert values == [[1, "first", 0.5, "no", None], [2, "second", 0.6, "yes", 20.0]]
    assert isinstance(blocks[1], Figure) and blocks[1].alt == "agreement, PQ by round"
