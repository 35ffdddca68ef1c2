"""Whose masks a stage sees."""

from __future__ import annotations

from ptseg_d2.recipe import groups
from ptseg_d2.recipe import stage_work as stages
from ptseg_d2.recipe.configs import load_recipe
from ptseg_d2.recipe.groups import group_config
from ptseg_d2.recipe.stage_work import run_stage

import pytest
from detectron2.config import CfgNode
from tiny import CONFIGS


def recipe(name: str, *overrides: str) -> list[CfgNode]:
    return load_recipe(CONFIGS / name, ["OUTPUT_DIR", "out", *overrides])


def masks_seen(cfg: CfgNode, monkeypatch: pytest.MonkeyPatch) -> str:
    """INPUT.PREDICTED_MASKS as `run_stage` hands it on."""
    seen: list[str] = []
    for module in (stages, groups):
        monkeypatch.setattr(module, "run_once", lambda cfg, work: seen.append(cfg.INPUT.PREDICTED_MASKS))
    run_stage(cfg, resume=False)
    return seen[0]


@pytest.mark.parametrize("config", ["semantic_selftrain.yaml", "selftrain_icm.yaml"])
def test_masks_of_the_user_win_over_those_of_an_earlier_stage(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    earlier = {"semantic_selftrain.yaml": "semantic_adapted", "selftrain_icm.yaml": "semantic_selftrain"}[config]
    assert masks_seen(recipe(config)[-1], monkeypatch) == f"out/{earlier}/target_masks/index.json"
    given = recipe(config, "INPUT.PREDICTED_MASKS", "mine/index.json")[-1]
    assert masks_seen(given, monkeypatch) == "mine/index.json"


def test_masks_of_the_user_reach_every_group() -> None:
    cfg = recipe("selftrain_icm.yaml", "INPUT.PREDICTED_MASKS", "mine/index.json")[-1]
    assert group_config(cfg, ["car"]).INPUT.PREDICTED_MASKS == "mine/index.json"
