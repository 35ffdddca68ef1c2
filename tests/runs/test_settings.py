"""What decides what a run computes, and how two runs differ in it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from ptseg_d2.config import flatten, get_ptseg_cfg
from ptseg_d2.config.renamed import EMBEDDING_TEACHER, HINTS, INSTANCE_TEACHER, REMOVED
from ptseg_d2.errors import RecipeError
from ptseg_d2.runs.settings import INPUTS_BEFORE, changed_settings, check_same_settings, settings
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


def written(folder: Path, content: dict[str, object]) -> Path:
    path = folder / "done.json"
    path.write_text(json.dumps({"settings": content}))
    return path


def test_records_of_before_inputs_had_the_inputs_of_a_first_run(tmp_path: Path) -> None:
    """Nothing from other stages, all classes, round 1."""
    run = run_of()
    path = written(tmp_path, {key: value for key, value in settings(run).items() if not key.startswith("inputs.")})
    assert changed_settings(run, path) == []
    files = {"masks": "a/m.json", "guidance": "a/g.json", "detections": "a/d.json"}
    assert changed_settings(run_of(**files, group=("car",), round=2), path) == [
        "inputs.detections was , is a/d.json",
        "inputs.group was [], is ['car']",
        "inputs.guidance was , is a/g.json",
        "inputs.masks was , is a/m.json",
        "inputs.round was 1, is 2",
    ]


def test_inputs_had_keys_that_are_still_there_or_answered_with_a_hint() -> None:
    assert set(INPUTS_BEFORE) <= {*flatten(get_ptseg_cfg()), *HINTS}


@pytest.mark.parametrize(("key", "value"), REMOVED.items())
def test_a_key_that_is_gone_counts_where_it_had_another_value(key: str, value: object, tmp_path: Path) -> None:
    run = run_of()
    assert changed_settings(run, record(tmp_path, run, **{key: value})) == []
    path = record(tmp_path, run, **{key: 0.3})
    assert changed_settings(run, path) == [f"{key} was 0.3, is {value}"]
    assert changed_settings(run, path, lambda compared: compared != key) == []


def test_options_of_the_semantic_teacher_are_no_settings_of_the_instance_teacher(tmp_path: Path) -> None:
    """An older run for which a command line set what both teachers read: its instance stage asks for the new key."""
    semantic = run_of("semantic_selftrain", masks="a/m.json").with_keys({"MODEL.SELF_TRAINING.RAMP_ITERS": 0})
    instance = run_of("instance_selftrain").with_keys(
        {"MODEL.META_ARCHITECTURE": EMBEDDING_TEACHER, "MODEL.SELF_TRAINING.RAMP_ITERS": 0}
    )
    for run, is_valid in ((semantic, True), (instance, False), (instance.with_keys({"INSTANCE.RAMP_ITERS": 0}), True)):
        of_then = {**flatten(run.cfg), **{key: value for key, value in settings(run).items() if "inputs." in key}}
        for key in INSTANCE_TEACHER:
            del of_then[f"INSTANCE.{key}"]
        changed = changed_settings(run, written(tmp_path, of_then), lambda key: "WEIGHTS" not in key)
        assert changed == ([] if is_valid else ["INSTANCE.RAMP_ITERS was 0, is 1000"])
