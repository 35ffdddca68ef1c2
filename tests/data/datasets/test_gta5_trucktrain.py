"""The part of GTA5 with trucks and trains, and what its missing instances mean for training."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from ptseg_d2.data.augmentation import Photometric
from ptseg_d2.data.dataset_dicts import source_dicts
from ptseg_d2.data.mappers import SourceMapper
from ptseg_d2.data.streams import source_stream
from ptseg_d2.losses.embedding import EmbeddingLoss
from ptseg_d2.stages import StageInputs
from ptseg_d2.worlds import miniscapes

import cv2
import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from tiny import small

GTA5 = "miniscapes_gta5_labeled_train"
TRUCK_AND_TRAIN = "miniscapes_gta5_trucktrain_labeled_train"
ROAD, TRUCK, TRAIN = 7, 27, 31  # label ids


def paint(item: dict[str, Any], *label_ids: int) -> None:
    """Replaces the label by road with a square of each class."""
    labels = np.full((64, 128), ROAD, np.uint8)
    for place, label_id in enumerate(label_ids):
        labels[:8, 10 * place : 10 * place + 8] = label_id
    assert cv2.imwrite(item["label_file_name"], labels)


@pytest.fixture
def gta5(world: Path) -> list[dict[str, Any]]:
    """Five drawn images: road, a truck, a train, both, both."""
    miniscapes.ensure(world, "gta5", num_train=5, size=(128, 64))
    dicts = DatasetCatalog.get(GTA5)
    for item, label_ids in zip(dicts, [(), (TRUCK,), (TRAIN,), (TRUCK, TRAIN), (TRAIN, TRUCK)]):
        paint(item, *label_ids)
    return dicts


def test_images_with_both(gta5: list[dict[str, Any]], world: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="ptseg_d2"):
        assert DatasetCatalog.get(TRUCK_AND_TRAIN) == gta5[3:]
    assert "2 of 5 images show both truck and train" in caplog.text
    assert (world.parent / "class_pixels" / f"{GTA5}.npz").exists()
    paint(gta5[0], TRUCK, TRAIN)
    assert DatasetCatalog.get(TRUCK_AND_TRAIN) == [gta5[0], *gta5[3:]]


def test_none_with_both_says_what_there_is(gta5: list[dict[str, Any]]) -> None:
    for item in gta5[3:]:
        paint(item, TRUCK)
    with pytest.raises(ValueError, match=r"none of the 5 images .* \(3 show a truck, 1 a train\)\. Check"):
        DatasetCatalog.get(TRUCK_AND_TRAIN)


def test_missing_data_are_named_when_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    assert MetadataCatalog.get("gta5_trucktrain_labeled_train").thing_classes[16] == "train"
    with pytest.raises(FileNotFoundError, match=r"gta5/images not found.*datasets/README\.md"):
        DatasetCatalog.get("gta5_trucktrain_labeled_train")
    assert not list(tmp_path.iterdir())


def test_mixed_sources(gta5: list[dict[str, Any]], tmp_path: Path) -> None:
    """MIX of [thesis]; a list keeps one of the GTA5 images, and the other data set is as without it."""
    names = ("miniscapes_synthia_labeled_train", TRUCK_AND_TRAIN)
    cfg = small("semantic_source.yaml", "DATASETS.SOURCE", str(names))
    stream = source_stream(cfg, StageInputs())
    assert [item["label_format"] for item in stream.dataset_dicts] == 6 * ["synthia"] + 2 * ["gta5"]
    assert 16 in {int(c) for p in range(8) for c in stream[p]["sem_seg"].unique()}
    (tmp_path / "one.txt").write_text(gta5[4]["image_id"])
    listed = small(
        "semantic_source.yaml",
        *("DATASETS.SOURCE", str(names), "DATASETS.LISTS", str([(TRUCK_AND_TRAIN, str(tmp_path / "one.txt"))])),
    )
    (_, synthia), (_, part) = source_dicts(listed)
    assert len(synthia) == 6 and part == [gta5[4]]


def test_things_without_instances_teach_the_embeddings_nothing(gta5: list[dict[str, Any]]) -> None:
    """GTA5 has classes only: its things are ignored (-1), also those of the run's group."""
    plain = Photometric(jitter=0, jitter_probability=0, blur=(0.1, 1.0), blur_probability=0)
    for thing_ids in (None, (14, 16)):
        mapper = SourceMapper(crop=(64, 128), scale=(1.0, 1.0), photometric=plain, thing_ids=thing_ids)
        item = mapper(gta5[3])
        things = torch.isin(item["sem_seg"], torch.tensor([14, 16]))
        assert (item["instance_ids"][things] == -1).all() and (item["instance_ids"][~things] == 0).all()
        embeddings = torch.randn(1, 4, 64, 128, requires_grad=True)
        losses = EmbeddingLoss()(embeddings, item["instance_ids"][None])
        sum(losses.values(), start=torch.zeros(())).backward()
        assert embeddings.grad is not None and embeddings.grad[0, :, things].abs().max() == 0
        assert all(loss.item() == 0 for loss in losses.values())
