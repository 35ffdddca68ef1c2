"""Importing this package fills Detectron2's registries."""

from ptseg_d2.modeling import (
    backbones,
    bisenet,
    einet,
    embedding_teacher,
    labelled_rcnn,
    panoptic_deeplab,
    panoptic_unet,
    semantic_heads,
    semantic_teacher,
)

__all__ = [
    "backbones",
    "bisenet",
    "einet",
    "embedding_teacher",
    "labelled_rcnn",
    "panoptic_deeplab",
    "panoptic_unet",
    "semantic_heads",
    "semantic_teacher",
]
