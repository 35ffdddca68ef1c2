"""results.json: merging and the printed table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ptseg_d2.evaluation.results import format_table, update_results

import numpy as np
import pytest


def test_updates_are_merged(tmp_path: Path) -> None:
    path = tmp_path / "run" / "results.json"
    update_results(path, {"seed": 1, "semantic": {"source": {"mIoU": 30.0, "IoU": {"road": 90.0}}}})
    results = update_results(
        path, {"seed": 2, "semantic": {"source": {"IoU": {"sky": 80.0}}, "selftrain": {"mIoU": 40.0}}}
    )
    assert results == {
        "seed": 2,
        "semantic": {
            "source": {"mIoU": 30.0, "IoU": {"road": 90.0, "sky": 80.0}},
            "selftrain": {"mIoU": 40.0},
        },
    }
    assert json.loads(path.read_text()) == results
    assert [file.name for file in path.parent.iterdir()] == ["results.json"]


def test_numbers_become_json(tmp_path: Path) -> None:
    updates: dict[str, Any] = {
        "a": float("nan"),
        "b": np.float32(0.5),
        "c": np.int64(3),
        "d": (1, float("inf")),
        "e": None,
    }
    results = update_results(tmp_path / "results.json", updates)
    assert results == {"a": None, "b": 0.5, "c": 3, "d": [1, None], "e": None}
    assert np.isnan(updates["a"])


@pytest.mark.parametrize("content", ["{", "[1]"])
def test_a_broken_file_is_named_and_kept(tmp_path: Path, content: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(content)
    with pytest.raises(ValueError, match="results.json"):
        update_results(path, {"seed": 1})
    assert path.read_text() == content


def test_table() -> None:
    results = {
        "seed": 1,
        "panoptic": {"selftrain": {"PQ": 30.04, "SQ": 70.0}, "source": {"PQ": 20.06}},
        "semantic": {"source": {"mIoU": 40.0}, "other": {"mIoU": None}},
        "instance": {"components": {"AP50": 5.0}},
    }
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in format_table(results).splitlines()]
    columns = ["PQ", "SQ", "RQ", "PQ_th", "PQ_st", "PQ_plus", "mIoU", "mIoU16", "mIoU13", "AP50", "precision50"]
    assert lines[0] == ["", *columns, "recall50"]
    assert lines[2:] == [
        ["source", "20.1", "-", "-", "-", "-", "-", "40.0", "-", "-", "-", "-", "-"],
        ["selftrain", "30.0", "70.0", *["-"] * 10],
        ["components", *["-"] * 9, "5.0", "-", "-"],
        ["other", *["-"] * 12],
    ]


def test_table_of_one_section_explains_its_means() -> None:
    results = {"semantic": {"source": {"mIoU": 40.0}}, "classes": {"mIoU": ["road", "sky"]}}
    lines = format_table(results).splitlines()
    assert [cell.strip() for cell in lines[0].strip("|").split("|")] == ["", "mIoU", "mIoU16", "mIoU13"]
    assert lines[-1] == "mIoU: 2 classes, road, sky"


def test_table_without_results() -> None:
    assert format_table({"seed": 1}).splitlines() == ["|    |", "|----|"]
