"""Old names are answered with the new ones, and what older versions wrote is understood."""

from __future__ import annotations

import re
from pathlib import Path

from ptseg_d2.config import flatten, get_ptseg_cfg
from ptseg_d2.config.renamed import HINTS, INSTANCE_TEACHER, REMOVED, RENAMED, current_keys
from ptseg_d2.errors import RecipeError
from ptseg_d2.recipe.configs import load_config, load_recipe

import pytest
from tiny import CONFIGS

KEYS = flatten(get_ptseg_cfg())
OF_TEACHER = {"MODEL.META_ARCHITECTURE": "EmbeddingMomentumTeacher"}
OF_SEMANTICS = {"MODEL.META_ARCHITECTURE": "SemanticMomentumTeacher"}


def test_new_names_exist_and_old_ones_do_not() -> None:
    assert set(RENAMED.values()) <= KEYS.keys()
    assert not {*RENAMED, *REMOVED, *HINTS} & KEYS.keys()


def file_with(key: str, value: str, folder: Path, base: Path | None = None) -> Path:
    """A config file that sets one key."""
    *nodes, last = key.split(".")
    lines = [f"{'  ' * depth}{node}:" for depth, node in enumerate(nodes)]
    head = f"_BASE_: {base}" if base else "VERSION: 2"
    file = folder / "mine.yaml"
    file.write_text("\n".join([head, *lines, f"{'  ' * len(nodes)}{last}: {value}"]))
    return file


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_an_old_name_is_answered_with_the_new_one(old: str, new: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=f"{old} was renamed to {new}"):
        load_config(CONFIGS / "semantic_source.yaml", [old, "0"])
    with pytest.raises(RecipeError, match=f"{old} was renamed to {new}"):
        load_config(file_with(old, "0", tmp_path))


@pytest.mark.parametrize("key", HINTS)
def test_a_key_that_is_gone_is_answered_with_what_to_do(key: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as on_the_command_line:
        load_config(CONFIGS / "semantic_source.yaml", [key, "0"])
    with pytest.raises(RecipeError) as in_a_file:
        load_config(file_with(key, "0", tmp_path))
    for error in (on_the_command_line, in_a_file):
        assert f"Key {key} was renamed to nothing" in str(error.value) and HINTS[key] in str(error.value)


def test_hints_name_keys_that_exist() -> None:
    named = {word for hint in HINTS.values() for word in re.findall(r"[A-Z]+\.[A-Z_.]+", hint)}
    assert named == {"INSTANCE.GROUPS", "RECIPE.ROUNDS", "RECIPE.GUIDANCE"} and named <= KEYS.keys()
    assert set(REMOVED) <= set(HINTS)


def test_records_of_today_stay_as_they_are() -> None:
    for own in ({}, OF_TEACHER):
        assert current_keys({**KEYS, **own}) == {**KEYS, **own}


def test_records_of_then_get_the_names_of_now() -> None:
    assert current_keys({"INSTANCE.MIN_SCORE": 0.15, "SEED": 1}) == {"EVAL.MIN_SCORE": 0.15, "SEED": 1}
    assert current_keys({"MODEL.EMBEDDING.KERNEL_THRESHOLD": 0.5}) == {}
    assert current_keys({"MODEL.EMBEDDING.KERNEL_THRESHOLD": 0.6}) == {"MODEL.EMBEDDING.KERNEL_THRESHOLD": 0.6}


def test_the_instance_teacher_took_options_of_the_semantic_one() -> None:
    old = {"MODEL.SELF_TRAINING.RAMP_ITERS": 0, "MODEL.SELF_TRAINING.BN_STATS": "target"}
    new = {"INSTANCE.RAMP_ITERS": 0, "INSTANCE.BN_STATS": "target"}
    assert current_keys({**old, **OF_TEACHER}) == {**new, **OF_TEACHER}
    assert current_keys({**old, **OF_SEMANTICS}) == {**old, **OF_SEMANTICS}


OTHER = {"RAMP_ITERS": "7", "BN_STATS": "target", "EVALUATE": "teacher"}
"""Values that are no defaults."""


@pytest.mark.parametrize("option", INSTANCE_TEACHER)
def test_what_the_instance_teacher_does_not_read_is_refused_where_it_is_meant_for_it(
    option: str, tmp_path: Path
) -> None:
    key, recipe = f"MODEL.SELF_TRAINING.{option}", CONFIGS / "selftrain_icm.yaml"
    message = f"{key} does nothing to EmbeddingMomentumTeacher; set INSTANCE.{option}$"
    with pytest.raises(RecipeError, match=f"mine.yaml: {message}"):
        load_config(file_with(key, OTHER[option], tmp_path, recipe))
    aimed = [f"instance_selftrain:{key}", OTHER[option]]
    with pytest.raises(RecipeError, match=message):
        load_recipe(recipe, aimed)


@pytest.mark.parametrize("option", INSTANCE_TEACHER)
def test_what_reaches_all_stages_or_another_one_is_allowed(option: str) -> None:
    key, recipe = f"MODEL.SELF_TRAINING.{option}", CONFIGS / "selftrain_icm.yaml"
    for aim in ("", "semantic_selftrain:"):
        runs = {run.name: run for run in load_recipe(recipe, [f"{aim}{key}", OTHER[option]])}
        assert str(runs["semantic_selftrain"].cfg.MODEL.SELF_TRAINING[option]) == OTHER[option]
    other_aimed = ["MODEL.SELF_TRAINING.EVALUATE", "teacher", "instance_selftrain:INSTANCE.EVALUATE", "teacher"]
    assert load_config(recipe, other_aimed).INSTANCE.EVALUATE == "teacher"
