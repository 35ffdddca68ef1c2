"""Contradictions in the configs of a recipe, and with what is finished of it, are found before its first stage."""

from __future__ import annotations

import json
from pathlib import Path

from ptseg_d2.errors import RecipeError
from ptseg_d2.recipe.checks import check_finished, check_stages
from ptseg_d2.recipe.configs import load_recipe
from ptseg_d2.runs.settings import settings
from ptseg_d2.stages import StageRun

import pytest
from tiny import CONFIGS

SELFTRAIN = ["RECIPE.NEEDS", "[]", "RECIPE.INIT_FROM", "", "RECIPE.MASKS_FROM", ""]
PREDICTED = ["MODEL.SELF_TRAINING.PSEUDO_LABELS", "predicted"]


def recipe(name: str, *overrides: str) -> list[StageRun]:
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


def finish(run: StageRun, **changed: object) -> None:
    """Leave the record of a finished stage, with other values of some keys (`A__B` = A.B)."""
    values = {**settings(run), **{key.replace("__", "."): value for key, value in changed.items()}}
    run.folder.mkdir(parents=True)
    (run.folder / "done.json").write_text(json.dumps({"settings": values, "seconds": 1.0, "id": "a"}))


@pytest.mark.parametrize("eval_only", [True, False])
def test_a_mix_that_chose_otherwise_is_refused(tmp_path: Path, eval_only: bool) -> None:
    overrides = ["OUTPUT_DIR", str(tmp_path), "RECIPE.NEEDS", "[]", "INSTANCE.MIX_BY", "stability"]
    (mix,) = load_recipe(CONFIGS / "instance" / "mix.yaml", overrides)
    finish(mix, INSTANCE__MIX_BY="oracle")
    with pytest.raises(RecipeError, match="INSTANCE.MIX_BY was oracle, is stability"):
        check_finished([mix], eval_only)


def test_evaluation_asks_for_the_same_network_only(tmp_path: Path) -> None:
    (stage,) = load_recipe(CONFIGS / "semantic_source.yaml", ["OUTPUT_DIR", str(tmp_path)])
    with pytest.raises(RecipeError, match="semantic_source is not finished"):
        check_finished([stage], eval_only=True)
    check_finished([stage], eval_only=False)  # it will be made
    finish(stage, SOLVER__BASE_LR=7.0)
    check_finished([stage], eval_only=True)
    with pytest.raises(RecipeError, match="SOLVER.BASE_LR was 7.0"):
        check_finished([stage], eval_only=False)


def test_a_later_round_is_not_asked_for(tmp_path: Path) -> None:
    """Whether it is visited is decided when the round before has ended."""
    stages = load_recipe(CONFIGS / "selftrain_icm.yaml", ["OUTPUT_DIR", str(tmp_path), "RECIPE.ROUNDS", "2"])
    (second,) = [run for run in stages if run.name == "semantic_selftrain_round2"]
    finish(second, SOLVER__BASE_LR=7.0)
    check_finished(stages, eval_only=False)
