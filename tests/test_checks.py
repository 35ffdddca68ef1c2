"""Contradictions in the configs of a recipe are found before its first stage."""

from __future__ import annotations

from pathlib import Path

from ptseg_d2.engine.checks import check_stages
from ptseg_d2.engine.recipe import load_recipe

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
