"""tools/train_net.py: what it checks and sets before the first stage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import train_net
from tiny import CONFIGS, TINY


@pytest.fixture(autouse=True)
def precision() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    yield
    torch.set_float32_matmul_precision(before)


def main(*arguments: str) -> None:
    train_net.main(train_net.build_parser().parse_args(["--config-file", *arguments]))


def test_every_process_sets_its_own_precision() -> None:
    """`launch` spawns processes that call `main` and nothing else."""
    with pytest.raises(FileNotFoundError):
        main("nowhere.yaml")
    assert torch.get_float32_matmul_precision() == "high"


def test_batches_that_do_not_divide_are_found_before_the_first_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_net.comm, "get_world_size", lambda: 2)
    overrides = [*TINY, "SOLVER.TARGET_PER_BATCH", "3", "OUTPUT_DIR", str(tmp_path / "out")]
    message = r"stage semantic_selftrain: SOLVER\.TARGET_PER_BATCH = 3 images per step do not divide over 2 processes"
    with pytest.raises(ValueError, match=message):
        main(str(CONFIGS / "semantic_selftrain.yaml"), *overrides)
    assert not (tmp_path / "out").exists()
