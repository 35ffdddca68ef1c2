"""Importing this package fills Detectron2's registries."""

from ptseg_d2.modeling import (
    backbones,
    bisenet,
    embedding_teacher,
    labelled_rcnn,
    panoptic_unet,
    semantic_heads,
    semantic_teacher,
)

__all__ = [
    "backbones",
    "bisenet",
    "embedding_teacher",
    "labelled_rcnn",
    "panoptic_unet",
    "semantic_heads",
    "semantic_teacher",
]
