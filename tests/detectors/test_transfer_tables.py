"""The tables of the COCO -> Cityscapes report: cells where they belong, and its numbers typed in correctly."""

from __future__ import annotations

from typing import Any

from ptseg_d2.classes.coco import CITYSCAPES_THINGS
from ptseg_d2.detectors.transfer_tables import (
    PAPER_CITYSCAPES,
    PAPER_COCO,
    cityscapes_table,
    class_map_table,
    coco_table,
)

import pytest

METRICS = ["AP", "AP50", "AP75", "APs", "APm", "APl"]


def rows_of(table: str) -> list[list[str]]:
    """Cells of a table, its head first, without the separator."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return [rows[0], *rows[2:]]


def test_coco_rows_by_hand() -> None:
    box = dict(zip(METRICS, [10.04, 20.05, 30.0, None, 0.0, 100.0]))
    mask = dict(zip(METRICS, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))
    rows = rows_of(coco_table({"ours": {"bbox": box, "segm": mask}}))
    assert rows[:3] == [
        ["detector", "task", *METRICS],
        ["ours", "bbox", "10.0", "20.1", "30.0", "-", "0.0", "100.0"],
        ["ours", "segm", "1.0", "2.0", "3.0", "4.0", "5.0", "6.0"],
    ]
    assert rows[3] == ["the report's Mask R-CNN, on COCO", "bbox", "37.5", "54.6", "41.9", "20.0", "40.4", "50.9"]
    assert [row[:2] for row in rows[4:]] == [
        ["the report's Mask R-CNN, on COCO", "segm"],
        ["the report's PointRend, on COCO", "bbox"],
        ["the report's PointRend, on COCO", "segm"],
    ]


def test_cityscapes_columns_by_hand() -> None:
    """The k-th class of a detector has AP k; the second detector has none of anything."""
    first: dict[str, Any] = {name: {"AP": float(k), "AP50": k + 0.5} for k, name in enumerate(CITYSCAPES_THINGS)}
    nothing: dict[str, Any] = dict.fromkeys(CITYSCAPES_THINGS, {"AP": None, "AP50": None})
    scores: dict[str, dict[str, Any]] = {
        "A": {"AP": 50.0, "AP50": 60.0, "per_class": first},
        "B": {"AP": None, "AP50": 0.0, "per_class": nothing},
    }
    head, *rows = rows_of(cityscapes_table(scores))
    report = ["the report's Mask R-CNN, on Cityscapes", "the report's PointRend, on Cityscapes"]
    assert head == ["AP / AP50", "A", "B", *report]
    assert [row[0] for row in rows] == [*CITYSCAPES_THINGS, "average"]
    assert [row[1] for row in rows] == [*(f"{k}.0 / {k}.5" for k in range(8)), "50.0 / 60.0"]
    assert [row[2] for row in rows] == ["- / -"] * 8 + ["- / 0.0"]
    assert rows[0][3:] == ["25.5 / 31.9", "39.2 / 49.0"] and rows[-1][3:] == ["10.0 / 12.5", "15.4 / 19.2"]


def test_without_a_detector_the_report_stands_alone() -> None:
    assert len(rows_of(coco_table({}))) == 5
    assert rows_of(cityscapes_table({}))[1][1:] == ["25.5 / 31.9", "39.2 / 49.0"]


@pytest.mark.parametrize("detector", PAPER_CITYSCAPES)
def test_the_reports_averages_are_those_of_its_rows(detector: str) -> None:
    table = PAPER_CITYSCAPES[detector]
    assert list(table) == [*CITYSCAPES_THINGS, "average"]
    for column in range(2):
        mean = sum(table[name][column] for name in CITYSCAPES_THINGS) / 8
        assert table["average"][column] == pytest.approx(mean, abs=0.02)  # theirs is rounded somewhere
    assert all(ap <= ap50 for ap, ap50 in table.values())


@pytest.mark.parametrize("detector", PAPER_COCO)
def test_the_reports_coco_numbers_are_ordered_as_the_metrics_are(detector: str) -> None:
    for ap, ap50, ap75, small, medium, large in PAPER_COCO[detector].values():
        assert ap < ap75 < ap50 and small < medium < large


def test_class_map() -> None:
    rows = dict(rows_of(class_map_table()))
    assert rows.pop("Cityscapes") == "COCO"
    assert rows == {**{name: name for name in CITYSCAPES_THINGS}, "rider": "none (COCO: person)"}
