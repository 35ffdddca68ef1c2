"""What is kept of a results.json when a run is evaluated again."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from ptseg_d2.results.evaluation import forget_rounds, set_aside_other_results
from ptseg_d2.results.row import Row

import pytest

HEADER: dict[str, Any] = {"config": "a.yaml", "seed": 1, "datasets": {"test": ["x"]}}
LAST, ORACLE_GUIDED = Row("selftrain"), Row("selftrain", round=2, guided_by_labels=True)
ROWS = (Row("source"), LAST, Row("selftrain", round=1), ORACLE_GUIDED)


def results_file(folder: Path, **other: Any) -> Path:
    """A results.json with a panoptic and an instance score in each row."""
    names = {row.name: row.facts() for row in ROWS}
    sections = {section: {name: {"score": 1.0} for name in names} for section in ("panoptic", "instance")}
    path = folder / "results.json"
    path.write_text(json.dumps({**HEADER, **sections, "rows": names, **other}))
    return path


def without(path: Path, *keys: str) -> Path:
    content = {key: value for key, value in json.loads(path.read_text()).items() if key not in keys}
    path.write_text(json.dumps(content))
    return path


def test_rows_of_rounds_are_forgotten_and_others_stay(tmp_path: Path) -> None:
    path = results_file(tmp_path, rounds=[{"round": 1}], seconds={"semantic_source": 2.0})
    forget_rounds(path)
    results = json.loads(path.read_text())
    assert list(results["panoptic"]) == list(results["instance"]) == ["source", "selftrain"]
    assert results["panoptic"]["source"] == {"score": 1.0} and results["semantic"] == {}
    assert "rounds" not in results and results["seconds"] == {"semantic_source": 2.0}


def test_nothing_is_made_of_nothing(tmp_path: Path) -> None:
    forget_rounds(tmp_path / "results.json")
    set_aside_other_results(tmp_path / "results.json", HEADER)
    assert list(tmp_path.iterdir()) == []


def test_results_of_the_same_run_stay(tmp_path: Path) -> None:
    path = results_file(tmp_path)
    before = path.read_text()
    set_aside_other_results(path, HEADER)
    assert path.read_text() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("changed", [{"config": "b.yaml"}, {"seed": 2}, {"datasets": {"test": ["y"]}}])
def test_results_of_another_run_are_set_aside(
    changed: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = results_file(tmp_path)
    before = path.read_text()
    with caplog.at_level(logging.INFO):
        set_aside_other_results(path, {**HEADER, **changed})
    assert not path.exists() and (tmp_path / "results.previous.json").read_text() == before
    assert f"{path} is of another {next(iter(changed))}; it is kept as results.previous.json" in caplog.text


@pytest.mark.parametrize("section", ["panoptic", "semantic", "instance", "instance_oracle_masks"])
def test_rows_that_do_not_say_what_they_are_are_set_aside(
    section: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of an older version: "selftrain_oracle_guidance_round2" would be a model of that name that saw no labels."""
    path = without(results_file(tmp_path, **{section: {ORACLE_GUIDED.name: {}}}), "rows")
    before = path.read_text()
    with caplog.at_level(logging.INFO):
        set_aside_other_results(path, HEADER)
    assert not path.exists() and (tmp_path / "results.previous.json").read_text() == before
    assert "is of an older version" in caplog.text


def test_results_without_any_row_set_nothing_aside(tmp_path: Path) -> None:
    """An evaluation that was ended before its first row must not take the place of what was set aside before."""
    path = without(results_file(tmp_path), "rows", "panoptic", "instance")
    forget_rounds(path)
    set_aside_other_results(path, HEADER)
    assert list(tmp_path.iterdir()) == [path]
