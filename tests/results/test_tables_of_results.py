"""results.json: merging and the printed table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ptseg_d2.results.row import Row
from ptseg_d2.results.tables import format_table, update_results

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
    columns = ["PQ", "SQ", "RQ", "PQ_th", "PQ_st", "PQ_plus", "mIoU", "AP50", "precision50"]
    assert lines[0] == ["", *columns, "recall50"]
    assert lines[2:] == [
        ["source", "20.1", "-", "-", "-", "-", "-", "40.0", "-", "-", "-"],
        ["selftrain", "30.0", "70.0", *["-"] * 8],
        ["components", *["-"] * 7, "5.0", "-", "-"],
        ["other", *["-"] * 10],
    ]


def test_table_of_one_section_explains_its_means() -> None:
    results = {"semantic": {"source": {"mIoU": 40.0}}, "classes": {"mIoU": ["road", "sky"]}}
    lines = format_table(results).splitlines()
    assert [cell.strip() for cell in lines[0].strip("|").split("|")] == ["", "mIoU"]
    assert lines[-1] == "mIoU: 2 classes, road, sky"


def test_intervals_stand_beside_the_headline_numbers() -> None:
    interval = {"PQ": [18.9, 21.74], "SQ": [60.0, 80.0]}
    rows = {"source": {"PQ": 20.3, "SQ": 70.0, "ci95": interval}, "mix": {"PQ": None, "ci95": {"PQ": None}}}
    lines = format_table({"panoptic": rows}).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")][:3] for line in lines[2:]]
    assert cells == [["source", "20.3 [18.9, 21.7]", "70.0"], ["mix", "-", "-"]]


def test_optional_columns_and_rounds() -> None:
    rows = {"mix": {"PQ": 1.0}, "selftrain_round2": {"PQ": 1.0, "PQ16": 2.0}, "selftrain_round1": {"PQ16_16way": 3.0}}
    described = {row.name: row.facts() for row in (Row("mix"), Row("selftrain", 2), Row("selftrain", 1))}
    table = format_table({"panoptic": rows, "rows": described})
    lines = [[cell.strip() for cell in line.split("|")] for line in table.splitlines()]
    assert lines[0][-3:] == ["PQ16", "PQ16_16way", ""]
    assert [line[1] for line in lines[2:]] == ["selftrain_round1", "selftrain_round2", "mix"]
    assert "PQ16" not in format_table({"panoptic": {"mix": {"PQ": 1.0}}})


def test_a_wide_table_is_one_per_section() -> None:
    full = {
        "panoptic": ("PQ", "SQ", "RQ", "PQ_th", "PQ_st", "PQ_plus", "PQ16", "PQ16_16way"),
        "semantic": ("mIoU", "mIoU16", "mIoU13", "mIoU16_16way"),
        "instance": ("AP50", "precision50", "recall50"),
    }
    results: dict[str, Any] = {
        section: {"selftrain_round1": {**dict.fromkeys(keys, 33.3), "ci95": {key: [31.0, 35.0] for key in keys}}}
        for section, keys in full.items()
    }
    results["semantic"]["adapted"] = {"mIoU": 1.0}
    results["classes"] = {name: [f"class {i}" for i in range(19)] for name in ("PQ", "mIoU", "PQ16_16way", "other")}
    lines = format_table(results).splitlines()
    assert max(map(len, lines)) <= 160
    headers = [lines[i - 1].split("|")[2].strip() for i, line in enumerate(lines) if line.startswith("|-")]
    assert headers == ["PQ", "mIoU", "AP50"]
    assert sum("adapted" in line for line in lines) == 1
    lists = [line for line in lines if line.endswith(",") or "classes" in line]
    assert lists[0].startswith("PQ, mIoU: 19 classes, class 0, class 1, ")
    assert any(line.startswith("PQ16_16way: 19 classes chosen among these only, class 0") for line in lines)
    assert not any("other" in line for line in lines)


def test_table_without_results() -> None:
    assert format_table({"seed": 1}).splitlines() == ["|    |", "|----|"]
