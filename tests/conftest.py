"""Imports the package before any test file can import Detectron2, and makes tiny data."""

from __future__ import annotations

import shutil
from pathlib import Path

import ptseg_d2  # noqa: F401
from ptseg_d2.data.datasets import miniscapes

import pytest

TINY = [
    *("INPUT.CROP_SIZE", "(64, 128)", "SOLVER.MAX_ITER", "3", "SOLVER.CHECKPOINT_PERIOD", "2"),
    *("SOLVER.SOURCE_PER_BATCH", "2", "SOLVER.WARMUP_ITERS", "1", "MODEL.RESNETS.DEPTH", "10"),
    *("MODEL.RESNETS.STEM_OUT_CHANNELS", "4", "MODEL.RESNETS.RES2_OUT_CHANNELS", "8"),
    *("MODEL.SEM_SEG_HEAD.CONVS_DIM", "8", "MODEL.SEM_SEG_HEAD.LOW_LEVEL_CHANNELS", "[4, 4]"),
    *("MODEL.SEM_SEG_HEAD.DECODER_CHANNELS", "[8, 8]", "MODEL.EMBEDDING.DECODER_CHANNELS", "[4, 8, 8, 8]"),
    *("MODEL.BFLOAT16", "False", "RECIPE.NUM_PICTURES", "2"),
    *("INSTANCE.GROUPS", "[['car'], ['person', 'rider']]"),
]
"""Overrides that make any small config run in seconds."""


@pytest.fixture(scope="session")
def drawn_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six source, six target and three validation scenes of 128x64; read only."""
    root = tmp_path_factory.mktemp("drawn")
    for part in ("synthia", "cityscapes"):
        miniscapes.ensure(root / "miniscapes", part, num_train=6, num_val=3, size=(128, 64))
    return root


@pytest.fixture
def world(drawn_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the drawn world that a test may damage; $DETECTRON2_DATASETS points to it."""
    root = tmp_path / "data"
    shutil.copytree(drawn_world, root)
    monkeypatch.setenv("DETECTRON2_DATASETS", str(root))
    return root / "miniscapes"
