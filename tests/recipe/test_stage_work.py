"""Whose masks a stage sees."""

from __future__ import annotations

from ptseg_d2.recipe import groups
from ptseg_d2.recipe import stage_work as stages
from ptseg_d2.recipe.configs import load_recipe
from ptseg_d2.recipe.stage_work import run_stage
from ptseg_d2.stages import StageRun

import pytest
from tiny import CONFIGS


class SilentTrainer:
    """Trains nothing."""

    model = None

    def __init__(self, *_: object) -> None: ...

    def resume_or_load(self, resume: bool) -> None: ...

    def train(self) -> None: ...


def recipe(name: str, *overrides: str) -> list[StageRun]:
    return load_recipe(CONFIGS / name, ["OUTPUT_DIR", "out", *overrides])


def masks_seen(run: StageRun, monkeypatch: pytest.MonkeyPatch) -> str:
    """The masks as `run_stage` hands them on."""
    seen: list[str] = []
    for module in (stages, groups):
        monkeypatch.setattr(module, "run_once", lambda run, work: seen.append(run.inputs.masks))
    run_stage(run, resume=False)
    return seen[0]


@pytest.mark.parametrize("config", ["semantic_selftrain.yaml", "selftrain_icm.yaml"])
def test_masks_of_the_user_win_over_those_of_an_earlier_stage(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    earlier = {"semantic_selftrain.yaml": "semantic_adapted", "selftrain_icm.yaml": "semantic_selftrain"}[config]
    assert masks_seen(recipe(config)[-1], monkeypatch) == f"out/{earlier}/target_masks/index.json"
    given = recipe(config, "INPUT.PREDICTED_MASKS", "mine/index.json")[-1]
    assert masks_seen(given, monkeypatch) == "mine/index.json"


def test_masks_of_the_user_reach_every_group() -> None:
    run = recipe("selftrain_icm.yaml", "INPUT.PREDICTED_MASKS", "mine/index.json")[-1]
    assert run.of_group(["car"]).inputs.masks == "mine/index.json"


@pytest.mark.parametrize(("stage", "keeps"), [("instance_source", False), ("instance_selftrain", True)])
def test_only_a_stage_that_sees_the_target_looks_for_its_classes_there(
    stage: str, keeps: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Masks on the command line reach every stage."""
    kept: list[str] = []
    monkeypatch.setattr(stages, "predicted_share", lambda run: 0.0)
    monkeypatch.setattr(stages, "_keep_start", lambda run: kept.append(run.title))
    monkeypatch.setattr(stages, "note_start", lambda *_: None)
    monkeypatch.setattr(stages, "Trainer", SilentTrainer)
    runs = {run.name: run for run in recipe("instance/ccm_25.yaml", "INPUT.PREDICTED_MASKS", "mine/index.json")}
    run = runs[stage]
    stages.train(run.of_group(run.cfg.INSTANCE.GROUPS[0]), resume=False)
    assert bool(kept) == keeps
