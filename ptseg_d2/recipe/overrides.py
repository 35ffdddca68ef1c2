"""Overrides of a command line: KEY VALUE pairs for every stage, `stage:KEY VALUE` pairs for one stage."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ptseg_d2.errors import RecipeError
from ptseg_d2.stages import STAGES

AIM = ":"
"""Between the name of a stage and a key."""


def check_overrides(overrides: Sequence[str]) -> None:
    """Refuse options among the pairs, a key without a value, and aims at what is no stage.

    Raises:
        RecipeError: names the word and says what was expected.
    """
    misplaced = [word for word in overrides[::2] if word.startswith("--")]
    if misplaced:
        raise RecipeError(f"{misplaced[0]} stands among the KEY VALUE pairs: put options before the first of them")
    for word in overrides[::2]:
        stage, aim, _ = word.rpartition(AIM)
        if aim and stage not in STAGES:
            raise RecipeError(f"{word}: {stage!r} is no stage; expected one of {', '.join(STAGES)}, or the key alone")


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
