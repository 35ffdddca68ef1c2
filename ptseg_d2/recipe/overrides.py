"""Overrides of a command line: KEY VALUE pairs for every stage, `stage:KEY VALUE` pairs for one stage."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ptseg_d2.config.rules import is_recipe_wide
from ptseg_d2.errors import RecipeError
from ptseg_d2.stages import STAGES

AIM = ":"
"""Between the name of a stage and a key."""


class _Pair(NamedTuple):
    """A pair as it stands on the command line.

    Attributes:
        stage: that it is aimed at; "" = every stage.
        key: without the aim.
        words: both of them, or the key alone where its value is missing, which is Detectron2's to refuse.
    """

    stage: str
    key: str
    words: Sequence[str]

    @property
    def is_aimed(self) -> bool:
        return AIM in self.words[0]


def _pairs(overrides: Sequence[str]) -> list[_Pair]:
    places = range(0, len(overrides), 2)
    return [_Pair(*overrides[place].rpartition(AIM)[::2], overrides[place : place + 2]) for place in places]


def check_overrides(overrides: Sequence[str]) -> None:
    """Refuse options among the pairs, aims at what is no stage, and aims of keys that hold for the whole recipe.

    Raises:
        RecipeError: names the word and says what was expected.
    """
    misplaced = [word for word in overrides[::2] if word.startswith("--")]
    if misplaced:
        raise RecipeError(f"{misplaced[0]} stands among the KEY VALUE pairs: put options before the first of them")
    for pair in (pair for pair in _pairs(overrides) if pair.is_aimed):
        word, stage, key = pair.words[0], pair.stage, pair.key
        if stage not in STAGES:
            raise RecipeError(f"{word}: {stage!r} is no stage; expected one of {', '.join(STAGES)}, or the key alone")
        if is_recipe_wide(key):
            raise RecipeError(f"{word}: {key} is one for all stages of a recipe; write it without {stage}{AIM}")


def check_aims(overrides: Sequence[str], stages: Iterable[str]) -> None:
    """Raise a RecipeError when an override is aimed at a stage that the recipe does not have.

    Args:
        overrides: alternating keys and values.
        stages: names of the recipe's stages.
    """
    known = list(stages)
    for pair in _pairs(overrides):
        if pair.is_aimed and pair.stage not in known:
            raise RecipeError(
                f"{pair.words[0]}: this recipe has no stage {pair.stage}; it has {', '.join(known) or 'none'}"
            )


def overrides_for(stage: str, overrides: Sequence[str]) -> list[str]:
    """The words that are aimed at a stage, keys without their aim, and their values.

    Args:
        stage: "" = those without an aim, which hold for every stage.
        overrides: alternating keys and values.
    """
    chosen = (pair for pair in _pairs(overrides) if pair.stage == stage)
    return [word for pair in chosen for word in (pair.key, *pair.words[1:])]


def aimed(overrides: Sequence[str]) -> list[str]:
    """The pairs that are aimed at a stage, as they are."""
    return [word for pair in _pairs(overrides) if pair.is_aimed for word in pair.words]


def over(first: Sequence[str], later: Sequence[str]) -> list[str]:
    """Two command lines as one, in which what `later` says without an aim holds for every stage.

    Args:
        first: alternating keys and values; its pairs for keys that `later` has without an aim are left out.
        later: alternating keys and values.
    """
    replaced = {pair.key for pair in _pairs(later) if not pair.is_aimed}
    return [*(word for pair in _pairs(first) if pair.key not in replaced for word in pair.words), *later]
