"""Errors whose message is meant for the user."""

from __future__ import annotations


class RecipeError(RuntimeError):
    """A recipe cannot go on; the message says what the user can do."""


class DataError(ValueError):
    """A file of a data set cannot be used; the message names the file and what is wrong with it."""


def check_choice(key: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise a ValueError that names the config key unless the value is one of the choices."""
    if value not in choices:
        raise ValueError(f"{key} = {value!r}; expected {' or '.join(map(repr, choices))}")
