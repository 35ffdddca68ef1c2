"""The tutorials are followed from top to bottom, at tiny size: every block of bash and of Python runs, in its order.

Commands in blocks without a language are only parsed, by test_commands.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ptseg_d2.data.datasets import register_world
from ptseg_d2.data.datasets.instance_folders import FolderWorld

import pytest
from documents import ROOT, blocks, commands_in, make_workplace, run_command
from tiny import TINY

TRAIN = "tools/train_net.py"


def follow(name: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Do what docs/NAME.md says, in the working directory.

    Args:
        name: of the tutorial.
        overrides: KEY VALUE pairs that make training small.

    Returns:
        The names that its Python has defined.
    """
    names: dict[str, Any] = {}
    for block in blocks(ROOT / "docs" / f"{name}.md"):
        if block.language == "python":
            exec(compile("\n" * (block.line - 1) + block.text, block.document.name, "exec"), names)
        if block.language == "bash":
            for command in commands_in(block):
                run_command(command.words, overrides if TRAIN in command.words else ())
    return names


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty checkout as the working directory."""
    folder = make_workplace(tmp_path / "checkout")
    monkeypatch.chdir(folder)
    yield folder
    register_world(FolderWorld())


def test_your_own_images(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = [*TINY, "INSTANCE.GROUPS", "[]", "INPUT.CROP_SIZE", "(32, 32)", "SOLVER.TARGET_PER_BATCH", "2"]
    names = follow("your_own_images", small)
    assert len(list((workplace / "output" / "samples").glob("*.png"))) == 4
    assert list(names["results"]["panoptic"]) == ["source", "selftrain"]
    assert list(names["results"]["panoptic"]["selftrain"]["per_class"]) == ["background", "disc"]
    assert len(list((workplace / "output" / "overlays").glob("*.png"))) == 6
    assert "objects, areas in pixels" in capsys.readouterr().out
    unlabelled = json.loads((workplace / "output" / "discs_unlabelled" / "results.json").read_text())
    assert unlabelled["datasets"]["test"] == [] and "panoptic" not in unlabelled
