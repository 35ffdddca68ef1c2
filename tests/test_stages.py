"""What is checked before the first stage, and whose masks a stage sees."""

from __future__ import annotations

from pathlib import Path

from ptseg_d2.engine import groups, stages
from ptseg_d2.engine.groups import group_config
from ptseg_d2.engine.recipe import load_recipe
from ptseg_d2.engine.stages import check_stages, run_stage

import pytest
from detectron2.config import CfgNode
from tiny import CONFIGS

SELFTRAIN = ["RECIPE.NEEDS", "[]", "RECIPE.INIT_FROM", "", "RECIPE.MASKS_FROM", ""]
PREDICTED = ["MODEL.SELF_TRAINING.PSEUDO_LABELS", "predicted"]


def recipe(name: str, *overrides: str) -> list[CfgNode]:
    return load_recipe(CONFIGS / name, ["OUTPUT_DIR", "out", *overrides])


@pytest.mark.parametrize(
    ("overrides", "num_processes", "message"),
    [
        ((), 4, r"stage semantic_selftrain: SOLVER\.TARGET_PER_BATCH = 2 .* 4 processes .* multiple of 4"),
        ((), 16, r"stage semantic_source: SOLVER\.SOURCE_PER_BATCH = 8 .* 16 processes"),
        (("SOLVER.SOURCE_PER_BATCH", "3"), 2, r"stage semantic_source: SOLVER\.SOURCE_PER_BATCH = 3 .* 2 processes"),
    ],
)
def test_images_must_divide_over_the_processes(overrides: tuple[str, ...], num_processes: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_stages(recipe("selftrain_icm.yaml", *overrides), num_processes)


def test_images_that_divide_or_are_not_loaded_pass() -> None:
    check_stages(recipe("selftrain_icm.yaml"), 2)
    # Neither a stage without a teacher nor one that adapts batch norm divides its target images.
    check_stages(recipe("semantic_adapted.yaml", "SOLVER.TARGET_PER_BATCH", "3"), 2)


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("semantic_deeplabv2_r101.yaml")), ids=lambda p: p.parent.name)
def test_paper_scale_recipes_run_on_two_gpus(path: Path) -> None:
    check_stages(load_recipe(path), 2)


@pytest.mark.parametrize(
    ("config", "overrides", "choice"),
    [
        ("semantic_selftrain.yaml", PREDICTED, "PSEUDO_LABELS = 'predicted'"),
        ("selftrain_icm.yaml", [], "META_ARCHITECTURE = 'EmbeddingMomentumTeacher'"),
    ],
)
def test_masks_that_nobody_makes_are_asked_for(config: str, overrides: list[str], choice: str) -> None:
    alone = recipe(config, *SELFTRAIN, *overrides)
    with pytest.raises(ValueError, match=rf"{choice} .*INPUT\.PREDICTED_MASKS .*tools/predict_masks\.py"):
        check_stages(alone, 1)
    check_stages(recipe(config, *SELFTRAIN, *overrides, "INPUT.PREDICTED_MASKS", "masks/index.json"), 1)
    check_stages(recipe(config, *overrides), 1)  # an earlier stage makes them
    check_stages(recipe(config, *SELFTRAIN, *overrides, "SOLVER.TARGET_PER_BATCH", "0"), 1)


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
