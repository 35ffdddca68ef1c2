"""A folder in which the README has been followed: the main recipe, trained at tiny size."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from documents import DEMO, make_workplace, run_command
from tiny import TINY


@pytest.fixture(scope="session")
def trained(drawn_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workplace with `output/miniscapes`, and the drawn world in `data`."""
    folder = make_workplace(tmp_path_factory.mktemp("documents") / "checkout")
    shutil.copytree(drawn_world, folder / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("DETECTRON2_DATASETS", "data")
        run_command(DEMO, TINY)
    return folder


@pytest.fixture
def after_training(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`trained` as the working directory."""
    monkeypatch.chdir(trained)
    monkeypatch.setenv("DETECTRON2_DATASETS", "data")
    return trained


@pytest.fixture(autouse=True)
def precision() -> Iterator[None]:
    """`tools/train_net.py` sets it for its process."""
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)
