"""One run of a stage: its names, its groups, its start."""

from __future__ import annotations

import dataclasses

from ptseg_d2.config import get_ptseg_cfg
from ptseg_d2.stages import STAGES, StageInputs, StageRun, group_name

import pytest


def run_of(stage: str, **changes: object) -> StageRun:
    cfg = get_ptseg_cfg()
    cfg.OUTPUT_DIR = f"out/{stage}"
    return StageRun(STAGES[stage], cfg, dataclasses.replace(StageInputs(), **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("group", "name"), [((), "all"), (("car",), "car"), (("traffic light", "car"), "traffic_light+car")]
)
def test_a_group_has_a_folder(group: tuple[str, ...], name: str) -> None:
    assert group_name(group) == name
    part = run_of("instance_selftrain").of_group(group)
    assert str(part.folder) == f"out/instance_selftrain/{name}" and part.title == f"instance_selftrain/{name}"
    assert part.inputs.group == group and str(part.final_weights).endswith(f"/{name}/model_final.pth")


def test_from_the_second_round_on_a_stage_has_its_number() -> None:
    names = [run_of("semantic_selftrain", round=number).name for number in (1, 2, 10)]
    assert names == ["semantic_selftrain", "semantic_selftrain_round2", "semantic_selftrain_round10"]
    assert run_of("instance_selftrain", round=3).of_group(["car"]).title == "instance_selftrain_round3/car"


@pytest.mark.parametrize(
    ("stage", "groups", "expected"),
    [
        ("semantic_source", [["car"]], False),
        ("instance_source", [], False),
        ("instance_source", [["car"]], True),
        ("instance_selftrain", [], True),
    ],
)
def test_which_stages_have_groups(stage: str, groups: list[list[str]], expected: bool) -> None:
    assert run_of(stage).with_keys({"INSTANCE.GROUPS": groups}).has_groups is expected


def test_a_group_starts_from_its_own_weights_where_the_stage_before_has_groups() -> None:
    alone = run_of("instance_selftrain").with_keys({"MODEL.WEIGHTS": "one.pth"})
    assert alone.of_group(["car"]).cfg.MODEL.WEIGHTS == "one.pth"
    after_groups = dataclasses.replace(alone, starts_from="out/instance_source")
    assert after_groups.of_group(["car"]).cfg.MODEL.WEIGHTS == "out/instance_source/car/model_final.pth"


def test_other_keys_are_those_of_another_run() -> None:
    run = run_of("semantic_source")
    other = run.with_keys({"OUTPUT_DIR": "1", "SOLVER.MAX_ITER": 7})
    assert (other.cfg.OUTPUT_DIR, other.cfg.SOLVER.MAX_ITER) == ("1", 7)  # a folder named 1 stays a text
    assert run.cfg.OUTPUT_DIR == "out/semantic_source" and run.cfg.SOLVER.MAX_ITER != 7
    with pytest.raises(AttributeError, match="immutable"):
        other.cfg.SEED = 3


def test_inputs_of_a_config_are_the_files_that_the_user_names() -> None:
    cfg = get_ptseg_cfg()
    assert StageInputs.from_config(cfg) == StageInputs()
    cfg.INPUT.PREDICTED_MASKS, cfg.INPUT.DETECTIONS = "mine/index.json", "yours/index.json"
    assert StageInputs.from_config(cfg) == StageInputs(masks="mine/index.json", detections="yours/index.json")
