"""What networks are judged on: all target images, their masks, and the same image with and without noise."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from ptseg_d2.data.dataset_dicts import load_dataset
from ptseg_d2.modeling.teachers.embedding_teacher import EmbeddingMomentumTeacher
from ptseg_d2.training.probing import encode, target_images

import cv2
import numpy as np
import pytest
import torch
from odd_files import noise
from tiny import small
from torch import Tensor
from torch.nn import functional as F

TARGET = "miniscapes_cityscapes_unlabeled_train"


def test_every_target_image_comes_with_its_mask(masks: Path) -> None:
    images, _ = target_images(small("selftrain_icm.yaml", "INPUT.PREDICTED_MASKS", str(masks)))
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
    _, photometric = target_images(small("selftrain_icm.yaml", "INPUT.PREDICTED_MASKS", str(masks), *overrides))
    image = torch.tensor([[[200, 0]], [[100, 0]], [[50, 255]]], dtype=torch.uint8)
    luma = [0.299 * 200 + 0.587 * 100 + 0.114 * 50, 0.114 * 255]
    grey = photometric(image)
    assert grey.dtype == torch.uint8
    for channel in grey:
        assert channel[0].tolist() == pytest.approx(luma, abs=1)


class Means:
    """A network whose embeddings are the mean colours of 2 x 4 pixels."""

    def predict_strided(self, images: Tensor) -> Tensor:
        return F.avg_pool2d(images.float(), (2, 4))


def test_the_teacher_sees_the_image_and_the_student_its_noise(tmp_path: Path) -> None:
    """Here noise is the negative; a coarse pixel has the class of the fine one at (1, 2) inside it."""
    image, mask = noise(6, 8, 3), noise(6, 8) % 19
    cv2.imwrite(str(tmp_path / "image.png"), image[..., ::-1])
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    pair = SimpleNamespace(training=False, teacher=Means(), student=Means(), device=torch.device("cpu"))
    item = {"file_name": str(tmp_path / "image.png"), "class_mask_file_name": str(tmp_path / "mask.png")}
    teacher, student, sem_seg = encode(cast(EmbeddingMomentumTeacher, pair), item, lambda x: 255 - x)
    expected = np.zeros((3, 3, 2))
    for y in range(3):
        for x in range(2):
            expected[:, y, x] = image[2 * y : 2 * y + 2, 4 * x : 4 * x + 4].reshape(8, 3).mean(0)
            assert sem_seg[y, x] == mask[2 * y + 1, 4 * x + 2]
    assert teacher.numpy() == pytest.approx(expected, abs=1e-4)
    assert student.numpy() == pytest.approx(255 - expected, abs=1e-4)
    assert sem_seg.dtype == torch.int64 and sem_seg.shape == (3, 2)
    assert list(item) == ["file_name", "class_mask_file_name"]


def test_a_model_in_training_is_not_judged() -> None:
    with pytest.raises(AssertionError):
        encode(cast(EmbeddingMomentumTeacher, SimpleNamespace(training=True)), {}, lambda x: x)
