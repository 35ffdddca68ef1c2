"""Whole target images with their predicted masks, seen by student and teacher: to judge networks, not to train them.

Shapes: E embedding dims, h x w the decoder's resolution.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ptseg_d2.data.image_files import read_one_channel
from ptseg_d2.data.mappers import TargetViewsMapper, TestMapper
from ptseg_d2.data.streams import target_stream
from ptseg_d2.modeling.embedding_net import shrink_labels
from ptseg_d2.modeling.teachers.embedding_teacher import EmbeddingMomentumTeacher

import numpy as np
import torch
from detectron2.config import CfgNode
from torch import Tensor

Noise = Callable[[Tensor], Tensor]
"""(3, H, W) grey levels -> the same, as the student sees them in training."""


def target_images(cfg: CfgNode) -> tuple[list[dict[str, Any]], Noise]:
    """Target images with their predicted masks, see `target_dicts`, and the noise of the student's views."""
    stream = target_stream(cfg)
    assert isinstance(stream.mapper, TargetViewsMapper)
    return list(stream.dataset_dicts), stream.mapper.photometric


@torch.no_grad()
def encode(model: EmbeddingMomentumTeacher, item: dict[str, Any], noise: Noise) -> tuple[Tensor, Tensor, Tensor]:
    """What the teacher makes of an image and the student of its noisy version, as in training.

    Args:
        model: in evaluation mode.
        item: with `class_mask_file_name`.
        noise: of the student's image; draws from the global random generators.

    Returns:
        (E, h, w) embeddings of the teacher, those of the student, (h, w) int64 predicted classes.
    """
    assert not model.training
    image = TestMapper()(dict(item))["image"]
    teacher = model.teacher.predict_strided(image[None])[0]
    student = model.student.predict_strided(noise(image)[None])[0]
    sem_seg = torch.from_numpy(read_one_channel(item["class_mask_file_name"]).astype(np.int64))
    return teacher, student, shrink_labels(sem_seg[None], teacher.shape[-2:])[0].to(model.device)
