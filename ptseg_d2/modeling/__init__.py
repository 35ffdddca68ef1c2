"""Importing this package fills Detectron2's registries."""

from ptseg_d2.modeling import (
    backbones,
    bisenet,
    einet,
    embedding_teacher,
    panoptic_deeplab,
    semantic_heads,
    semantic_teacher,
)

__all__ = [
    "backbones",
    "bisenet",
    "einet",
    "embedding_teacher",
    "panoptic_deeplab",
    "semantic_heads",
    "semantic_teacher",
]
