"""Imports the package before any test file can import Detectron2, and makes tiny data."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import ptseg_d2  # noqa: F401
from ptseg_d2.data.dataset_dicts import load_dataset
from ptseg_d2.data.datasets import panoptic_metadata
from ptseg_d2.data.labels import read_labels
from ptseg_d2.worlds import miniscapes

import cv2
import numpy as np
import pytest
from detectron2.data import MetadataCatalog
from documents import DEMO, make_workplace, run_command
from references_evaluation import DATASET, random_labels, write_cityscapes_entry
from tiny import TINY


@pytest.fixture(autouse=True)
def captured_logs() -> None:
    """`tools/train_net.py` keeps our messages from the root logger, where pytest listens; a test undoes that."""
    logging.getLogger("ptseg_d2").propagate = True


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
    # Counts that another test left there are no part of the world.
    shutil.copytree(drawn_world, root, ignore=shutil.ignore_patterns("class_pixels"))
    monkeypatch.setenv("DETECTRON2_DATASETS", str(root))
    return root / "miniscapes"


@pytest.fixture(scope="session")
def trained(drawn_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the README has been followed: the main recipe at tiny size in `output/miniscapes`."""
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


@pytest.fixture
def masks(world: Path, tmp_path: Path) -> Path:
    """True classes of the target images in place of predicted ones."""
    folder = tmp_path / "masks"
    folder.mkdir()
    images = {}
    for number, item in enumerate(load_dataset(("miniscapes_cityscapes_labeled_train",), "test")):
        sem_seg = read_labels(item).sem_seg.astype(np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), sem_seg)
        shares = np.bincount(sem_seg.ravel(), minlength=256)[:19] / sem_seg.size
        images[item["image_id"]] = {"mask": f"{number}.png", "class_shares": shares.tolist()}
    (folder / "index.json").write_text(json.dumps({"images": images, "skipped": []}))
    return folder / "index.json"


@pytest.fixture
def entries(tmp_path: Path) -> Iterator[list[dict[str, str]]]:
    """Four images of evaluators' `DATASET`, with the metadata that an evaluator of it asks for."""
    MetadataCatalog.get(DATASET).set(**panoptic_metadata())
    rng = np.random.default_rng(0)
    yield [write_cityscapes_entry(tmp_path, f"image{i}", *random_labels(rng)) for i in range(4)]
    MetadataCatalog.remove(DATASET)
