"""Unlabelled target images as training sees them: to judge networks on them, not to train them."""

from __future__ import annotations

from typing import Any

from ptseg_d2.data.mappers import TargetViewsMapper
from ptseg_d2.data.streams import target_stream
from ptseg_d2.modeling.teachers.momentum_teacher import Noise
from ptseg_d2.stages import StageInputs

from detectron2.config import CfgNode


def target_images(cfg: CfgNode, inputs: StageInputs) -> tuple[list[dict[str, Any]], Noise]:
    """Target images with their predicted masks, see `target_dicts`, and the noise of the student's views."""
    stream = target_stream(cfg, inputs)
    assert isinstance(stream.mapper, TargetViewsMapper)
    return list(stream.dataset_dicts), stream.mapper.photometric
