"""What networks are judged on: all target images with their masks, and the noise of the student."""

from __future__ import annotations

import json
from pathlib import Path

from ptseg_d2.data.dataset_dicts import load_dataset
from ptseg_d2.stages import StageInputs
from ptseg_d2.training.probing import target_images

import pytest
import torch
from tiny import small

TARGET = "miniscapes_cityscapes_unlabeled_train"


def test_every_target_image_comes_with_its_mask(masks: Path) -> None:
    images, _ = target_images(small("selftrain_icm.yaml"), StageInputs(masks=str(masks)))
    index = json.loads(masks.read_text())["images"]
    assert [item["file_name"] for item in images] == [d["file_name"] for d in load_dataset((TARGET,), "test")]
    for item in images:
        entry = index[item["image_id"]]
        assert item["class_mask_file_name"] == str(masks.parent / entry["mask"])
        assert item["class_shares"] == entry["class_shares"]


def test_the_noise_is_that_of_the_students_views(masks: Path) -> None:
    """Always grey, and nothing else: the luma of ITU-R 601 in all channels."""
    keys = {"TARGET_JITTER": "0.0", "TARGET_BLUR_PROBABILITY": "0.0", "TARGET_GREY": "1.0"}
    overrides = [word for key, value in keys.items() for word in (f"INPUT.{key}", value)]
    _, photometric = target_images(small("selftrain_icm.yaml", *overrides), StageInputs(masks=str(masks)))
    image = torch.tensor([[[200, 0]], [[100, 0]], [[50, 255]]], dtype=torch.uint8)
    luma = [0.299 * 200 + 0.587 * 100 + 0.114 * 50, 0.114 * 255]
    grey = photometric(image)
    assert grey.dtype == torch.uint8
    for channel in grey:
        assert channel[0].tolist() == pytest.approx(luma, abs=1)
