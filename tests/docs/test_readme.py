"""What README.md and docs/usage.md tell a reader to do is done, at tiny size.

Training again, `--eval-only` and the oracle are in tests/whole_runs, `--resume` in tests/training/test_resume.py,
samples in tests/tools/test_visualize_data.py.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from ptseg_d2.classes.streets import CLASS_NAMES

import cv2
import numpy as np
import pytest
from documents import DEMO, ROOT, Command, blocks, commands_in, run_command
from odd_files import write_png, write_video
from tiny import TINY

README = ROOT / "README.md"
USAGE = ROOT / "docs" / "usage.md"


def commands_of(document: Path) -> list[Command]:
    return [command for block in blocks(document) for command in commands_in(block)]


def command_with(document: Path, *words: str) -> list[str]:
    """The one command of a document that has these words."""
    (found,) = (command.words for command in commands_of(document) if set(words) <= set(command.words))
    return found


def test_the_demo_is_the_command_of_the_readme() -> None:
    recipe = re.search(r"^demo: venv\n\t\$\(RUN\) (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe is not None
    assert ["python", *recipe.group(1).split()] == DEMO == command_with(README, "configs/selftrain_icm.yaml")


def test_python_of_the_readme(after_training: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_png(after_training / "street.png", 64, 128)
    (block,) = (block for block in blocks(README) if block.language == "python")
    names: dict[str, Any] = {}
    exec(compile(block.text, README.name, "exec"), names)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(names["prediction"].segments_info) > 0
    assert lines[0].startswith(tuple(CLASS_NAMES))


def test_python_of_the_usage(after_training: Path) -> None:
    (block,) = (block for block in blocks(USAGE) if block.language == "python")
    names: dict[str, Any] = {"image": np.full((64, 128, 3), 90, np.uint8)}
    exec(compile(block.text, USAGE.name, "exec"), names)
    assert names["prediction"].panoptic.shape == (64, 128)


def test_pictures(after_training: Path) -> None:
    (after_training / "images").mkdir(exist_ok=True)
    write_png(after_training / "images" / "one.png")
    write_png(after_training / "images" / "two.png")
    run_command(command_with(README, "tools/demo.py"))
    assert sorted(path.name for path in (after_training / "overlays").iterdir()) == ["one.png", "two.png"]


def test_video(after_training: Path) -> None:
    write_video(after_training / "drive.mp4", 2)
    run_command(command_with(USAGE, "--video-input"))
    assert cv2.VideoCapture(str(after_training / "drive_panoptic.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == 2


def test_export_and_scores_of_anybodys_predictions(after_training: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_command(command_with(USAGE, "tools/export_coco_panoptic.py"), ["--opts", *TINY])
    coco = after_training / "output" / "miniscapes" / "coco_panoptic"
    (after_training / "anybody").mkdir()
    shutil.copy(coco / "pred.json", after_training / "anybody")
    shutil.copytree(coco / "pred", after_training / "anybody" / "pred")
    capsys.readouterr()
    run_command(command_with(USAGE, "tools/evaluate_predictions.py"))
    assert "PQ" in capsys.readouterr().out
