"""Errors of recipes, apart from what raises them so that every module can."""

from __future__ import annotations


class RecipeError(RuntimeError):
    """A recipe cannot go on; the message says what the user can do."""
