"""Folders and modules stay small enough to be taken in at a glance."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAX_MODULES = 16
"""In a folder."""
MAX_LINES = {"ptseg_d2": 250, "tools": 250, "datasets": 250, "benchmarks": 250, "tests": 300}
"""Of a module, by the folder of the repository that it lies in."""


def modules_below(folder: str) -> list[Path]:
    """Paths as of the repository."""
    return sorted(path.relative_to(ROOT) for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("folder", MAX_LINES)
def test_a_folder_holds_few_modules(folder: str) -> None:
    counts = Counter(str(path.parent) for path in modules_below(folder))
    assert counts and {name: count for name, count in counts.items() if count > MAX_MODULES} == {}


@pytest.mark.parametrize(("folder", "most"), MAX_LINES.items())
def test_a_module_is_short(folder: str, most: int) -> None:
    lines = {str(path): len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in modules_below(folder)}
    assert {name: count for name, count in lines.items() if count > most} == {}


def test_names_of_tests_are_unique() -> None:
    """pytest imports a test by its file's name alone, wherever it lies."""
    counts = Counter(path.name for path in modules_below("tests"))
    assert [name for name, count in counts.items() if count > 1] == []
