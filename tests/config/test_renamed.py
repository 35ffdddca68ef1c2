"""Old names are answered with the new ones, and what older versions wrote is understood."""

from __future__ import annotations

from pathlib import Path

from ptseg_d2.config import flatten, get_ptseg_cfg
from ptseg_d2.config.renamed import REMOVED, RENAMED, current_keys
from ptseg_d2.errors import RecipeError
from ptseg_d2.recipe.configs import load_config

import pytest
from tiny import CONFIGS

KEYS = flatten(get_ptseg_cfg())
OF_TEACHER = {"MODEL.META_ARCHITECTURE": "EmbeddingMomentumTeacher"}
OF_SEMANTICS = {"MODEL.META_ARCHITECTURE": "SemanticMomentumTeacher"}


def test_new_names_exist_and_old_ones_do_not() -> None:
    assert set(RENAMED.values()) <= KEYS.keys()
    assert not {*RENAMED, *REMOVED} & KEYS.keys()


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_an_old_name_is_answered_with_the_new_one(old: str, new: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=f"{old} was renamed to {new}"):
        load_config(CONFIGS / "semantic_source.yaml", [old, "0"])
    file = tmp_path / "mine.yaml"
    *nodes, last = old.split(".")
    lines = [f"{'  ' * depth}{node}:" for depth, node in enumerate(nodes)]
    file.write_text("\n".join(["VERSION: 2", *lines, f"{'  ' * len(nodes)}{last}: 0"]))
    with pytest.raises(RecipeError, match=f"{old} was renamed to {new}"):
        load_config(file)


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
