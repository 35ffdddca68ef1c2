"""Overrides for every stage, and for one."""

from __future__ import annotations

from ptseg_d2.errors import RecipeError
from ptseg_d2.recipe.configs import load_config, load_recipe
from ptseg_d2.recipe.overrides import over, overrides_for

import pytest
from tiny import CONFIGS

RECIPE = CONFIGS / "selftrain_icm.yaml"
WORDS = ["A", "1", "semantic_source:B", "2", "instance_source:B", "3", "B", "4"]


@pytest.mark.parametrize(
    ("stage", "words"), [("", ["A", "1", "B", "4"]), ("semantic_source", ["B", "2"]), ("instance_selftrain", [])]
)
def test_words_of_a_stage(stage: str, words: list[str]) -> None:
    assert overrides_for(stage, WORDS) == words


def test_an_aimed_override_reaches_one_stage_and_wins_there() -> None:
    runs = load_recipe(RECIPE, ["instance_selftrain:SOLVER.MAX_ITER", "9", "SOLVER.MAX_ITER", "7"])
    assert {run.name: run.cfg.SOLVER.MAX_ITER for run in runs} == {
        **dict.fromkeys(("semantic_source", "semantic_adapted", "semantic_selftrain"), 7),
        **dict.fromkeys(("instance_source", "instance_adapted"), 7),
        "instance_selftrain": 9,
    }
    assert load_config(RECIPE, ["semantic_source:SOLVER.MAX_ITER", "9"]).SOLVER.MAX_ITER == 40  # that of the file


def test_an_aim_holds_in_every_round() -> None:
    overrides = ["RECIPE.ROUNDS", "2", "instance_selftrain:INSTANCE.CONSISTENCY_WEIGHT", "0.1"]
    weights = {run.name: run.cfg.INSTANCE.CONSISTENCY_WEIGHT for run in load_recipe(RECIPE, overrides)}
    assert {name for name, weight in weights.items() if weight == 0.1} == {
        "instance_selftrain",
        "instance_selftrain_round2",
    }


def test_aimed_groups_split_stages_whose_files_have_none() -> None:
    config, groups = CONFIGS / "instance" / "all_25.yaml", "[['car']]"
    aims = [word for name in ("source", "adapted") for word in (f"instance_{name}:INSTANCE.GROUPS", groups)]
    for overrides, has_groups in (([*aims, "INSTANCE.GROUPS", groups], True), (["INSTANCE.GROUPS", groups], False)):
        runs = {run.name: run for run in load_recipe(config, overrides)}
        assert [runs[f"instance_{name}"].has_groups for name in ("source", "adapted")] == [has_groups] * 2


def test_a_later_command_line_reaches_every_stage() -> None:
    assert over(
        ["A", "1", "semantic_source:A", "2", "semantic_source:B", "3"], ["A", "4", "instance_source:B", "5"]
    ) == [*("semantic_source:B", "3", "A", "4", "instance_source:B", "5")]


@pytest.mark.parametrize(
    "key", ["SEED", "DATASETS.TARGET", "WORLD.SIZE", "OUTPUT_DIR", "MODEL.DEVICE", "RECIPE.NEEDS_DIR", "RECIPE.ROUNDS"]
)
def test_what_all_stages_share_cannot_be_aimed(key: str) -> None:
    with pytest.raises(RecipeError, match=rf"{key} is one for all stages of a recipe; write it without"):
        load_recipe(RECIPE, [f"instance_selftrain:{key}", "1"])


def test_where_a_stage_starts_can_be_aimed() -> None:
    runs = load_recipe(RECIPE, ["instance_source:RECIPE.INIT_FROM", ""])
    assert [run.cfg.RECIPE.INIT_FROM for run in runs if run.name == "instance_source"] == [""]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["instance_selftrian:VIS_PERIOD", "1"], "'instance_selftrian' is no stage; expected one of semantic_source"),
        (["panoptic_source:VIS_PERIOD", "1"], "this recipe has no stage panoptic_source; it has semantic_source, "),
        (["instance_selftrain:SOLVER.MAX_ITERS", "1"], "MAX_ITERS"),
        (["instance_selftrain:VIS_PERIOD"], "VIS_PERIOD"),
        (["SEED", "1", "--resume"], "--resume stands among the KEY VALUE pairs"),
    ],
)
def test_what_reaches_nothing_is_named(overrides: list[str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(RECIPE, overrides)
