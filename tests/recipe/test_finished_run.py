"""The recipe of a run from its folder: with its command, moved, asked for otherwise, made by an older version."""

from __future__ import annotations

import json
from pathlib import Path

from ptseg_d2.recipe.configs import load_config
from ptseg_d2.recipe.finished_run import COMMAND, command_line_of, load_run, note_command

import pytest
from tiny import CONFIGS

RECIPE = CONFIGS / "selftrain_icm.yaml"
ASKED = ["SEED", "9", "instance_selftrain:EVAL.MIN_SCORE", "0.7", "EVAL.MIN_SCORE", "0.5"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    note_command(tmp_path, str(RECIPE), [*ASKED, "OUTPUT_DIR", "elsewhere"])
    return tmp_path


def min_scores(folder: Path, *overrides: str) -> dict[str, float]:
    return {run.name: run.cfg.EVAL.MIN_SCORE for run in load_run(folder, overrides=overrides)[1]}


def test_as_it_was_asked_for_wherever_it_lies(folder: Path) -> None:
    cfg, runs = load_run(folder)
    assert (cfg.SEED, cfg.OUTPUT_DIR) == (9, str(folder)) and runs[0].folder == folder / "semantic_source"
    assert min_scores(folder) == {run.name: 0.7 if run.name == "instance_selftrain" else 0.5 for run in runs}


def test_what_is_asked_now_is_over_what_was_asked_then(folder: Path) -> None:
    assert set(min_scores(folder, "EVAL.MIN_SCORE", "0.1").values()) == {0.1}


def test_of_another_recipe_nothing_is_known(folder: Path) -> None:
    assert command_line_of(folder, CONFIGS / "instance_source.yaml") == []
    (folder / COMMAND).unlink()
    (folder / "config.yaml").write_text(load_config(RECIPE, ["SEED", "9"]).dump())
    assert command_line_of(folder, CONFIGS / "instance_source.yaml") == []


def test_a_run_of_an_older_version(tmp_path: Path) -> None:
    """It left no command.json, and keys in config.yaml that have another name by now, or are gone."""
    text = load_config(RECIPE, ["SEED", "9", "OUTPUT_DIR", "elsewhere", "EVAL.MIN_SCORE", "0.25"]).dump()
    older = text.replace("  MIN_SCORE: 0.25\n", "").replace(
        "\nINSTANCE:\n", "\nINSTANCE:\n  GROUP: [car]\n  MIN_SCORE: 0.25\n"
    )
    (tmp_path / "config.yaml").write_text(older)
    (tmp_path / "results.json").write_text(json.dumps({"config": str(RECIPE)}))
    assert command_line_of(tmp_path, RECIPE) == ["EVAL.MIN_SCORE", "0.25", "SEED", "9"]
    cfg, _ = load_run(tmp_path)
    assert (cfg.SEED, cfg.EVAL.MIN_SCORE, cfg.OUTPUT_DIR) == (9, 0.25, str(tmp_path))
