"""Overrides of a command line: KEY VALUE pairs for every stage, `stage:KEY VALUE` pairs for one stage."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ptseg_d2.config.rules import is_recipe_wide
from ptseg_d2.errors import RecipeError
from ptseg_d2.stages import STAGES

AIM = ":"
"""Between the name of a stage and a key."""


def check_overrides(overrides: Sequence[str]) -> None:
    """Refuse options among the pairs, aims at what is no stage, and aims of keys that hold for the whole recipe.

    Raises:
        RecipeError: names the word and says what was expected.
    """
    misplaced = [word for word in overrides[::2] if word.startswith("--")]
    if misplaced:
        raise RecipeError(f"{misplaced[0]} stands among the KEY VALUE pairs: put options before the first of them")
    for word in overrides[::2]:
        stage, aim, key = word.rpartition(AIM)
        if aim and stage not in STAGES:
            raise RecipeError(f"{word}: {stage!r} is no stage; expected one of {', '.join(STAGES)}, or the key alone")
        if aim and is_recipe_wide(key):
            raise RecipeError(f"{word}: {key} is one for all stages of a recipe; write it without {stage}{AIM}")


def check_aims(overrides: Sequence[str], stages: Iterable[str]) -> None:
    """Raise a RecipeError when an override is aimed at a stage that the recipe does not have.

    Args:
        overrides: alternating keys and values.
        stages: names of the recipe's stages.
    """
    known = list(stages)
    for word in overrides[::2]:
        stage, aim, _ = word.rpartition(AIM)
        if aim and stage not in known:
            raise RecipeError(f"{word}: this recipe has no stage {stage}; it has {', '.join(known) or 'none'}")


def overrides_for(stage: str, overrides: Sequence[str]) -> list[str]:
    """The words that are aimed at a stage, keys without their aim, and their values.

    Args:
        stage: "" = those without an aim, which hold for every stage.
        overrides: alternating keys and values.
    """
    words: list[str] = []
    for place in range(0, len(overrides), 2):
        aim, _, key = overrides[place].rpartition(AIM)
        if aim == stage:
            words += [key, *overrides[place + 1 : place + 2]]  # a key without a value is Detectron2's to refuse
    return words


def aimed(overrides: Sequence[str]) -> list[str]:
    """The pairs that are aimed at a stage, as they are."""
    return [word for place in range(0, len(overrides), 2) if AIM in overrides[place] for word in overrides[place:][:2]]


def over(first: Sequence[str], later: Sequence[str]) -> list[str]:
    """Two command lines as one, in which what `later` says without an aim holds for every stage.

    Args:
        first: alternating keys and values; its pairs for keys that `later` has without an aim are left out.
        later: alternating keys and values.
    """
    replaced = {word for word in later[::2] if AIM not in word}
    kept = (place for place in range(0, len(first), 2) if first[place].rpartition(AIM)[2] not in replaced)
    return [*(word for place in kept for word in first[place : place + 2]), *later]
