"""What decides what a run computes, and how two runs differ in it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from ptseg_d2.config import get_ptseg_cfg
from ptseg_d2.errors import RecipeError
from ptseg_d2.runs.settings import changed_settings, check_same_settings, settings
from ptseg_d2.stages import STAGES, StageInputs, StageRun

import pytest


def run_of(stage: str = "semantic_source", **inputs: object) -> StageRun:
    return StageRun(STAGES[stage], get_ptseg_cfg(), dataclasses.replace(StageInputs(), **inputs))  # type: ignore[arg-type]


def record(folder: Path, run: StageRun, **changes: object) -> Path:
    path = folder / "done.json"
    path.write_text(json.dumps({"settings": {**settings(run), **changes}}))
    return path


def test_files_count_by_their_last_two_names() -> None:
    """So that a run may be moved as a whole."""
    here, there = (run_of(masks=f"{root}/a/target_masks/index.json") for root in ("here", "there"))
    assert settings(here) == settings(there) and settings(here)["inputs.masks"] == "target_masks/index.json"
    weights = run_of().with_keys({"MODEL.WEIGHTS": "/x/y/instance_source/model_final.pth"})
    assert settings(weights)["MODEL.WEIGHTS"] == "instance_source/model_final.pth"


def test_group_and_round_are_settings() -> None:
    one, other = run_of("instance_selftrain", group=("car",)), run_of("instance_selftrain", group=("bus",), round=2)
    differing = {key for key in settings(one) if settings(one)[key] != settings(other)[key]}
    assert differing == {"inputs.group", "inputs.round"} and settings(one)["inputs.group"] == ["car"]


def test_keys_of_the_mix_and_of_guidance_by_labels_count_where_they_decide() -> None:
    def found(run: StageRun, prefix: str) -> bool:
        return any(key.startswith(prefix) for key in settings(run))

    assert found(run_of("instance_mix"), "INSTANCE.MIX_") and not found(run_of(), "INSTANCE.MIX_")
    by_labels, predicted = (
        run_of(guidance=f"out/{name}/index.json") for name in ("oracle_guidance", "target_guidance")
    )
    assert found(by_labels, "RECIPE.ORACLE_GUIDANCE") and not found(predicted, "RECIPE.ORACLE_GUIDANCE")


def test_changes_are_named_with_both_values(tmp_path: Path) -> None:
    run = run_of()
    path = record(tmp_path, run, **{"SOLVER.MAX_ITER": 3, "SEED": 7})
    now = run.cfg.SOLVER.MAX_ITER
    assert changed_settings(run, path) == ["SEED was 7, is -1", f"SOLVER.MAX_ITER was 3, is {now}"]
    assert changed_settings(run, path, lambda key: key == "SEED") == ["SEED was 7, is -1"]
    with pytest.raises(RecipeError, match=rf"{tmp_path} was made with other settings \(SEED was 7, is -1; SOLVER"):
        check_same_settings(run, path)
    check_same_settings(run, path, lambda key: key == "INPUT.FORMAT")


def test_records_of_other_versions(tmp_path: Path) -> None:
    """A key that came since has its default; one that is gone cannot be asked for any more."""
    run = run_of()
    path = record(tmp_path, run, **{"GONE.KEY": 5})
    content = json.loads(path.read_text())
    del content["settings"]["SOLVER.BASE_LR"]
    path.write_text(json.dumps(content))
    assert changed_settings(run, path) == []
    assert changed_settings(run.with_keys({"SOLVER.BASE_LR": 9.0}), path) == [
        f"SOLVER.BASE_LR was {get_ptseg_cfg().SOLVER.BASE_LR}, is 9.0"
    ]
