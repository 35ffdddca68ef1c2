"""Importing this package fills Detectron2's registries."""

from ptseg_d2.modeling import bisenet, panoptic_deeplab, panoptic_unet, semantic_heads
from ptseg_d2.modeling.backbones import resnets, timm_backbone
from ptseg_d2.modeling.einet import meta_arch as einet
from ptseg_d2.modeling.teachers import embedding_teacher, semantic_teacher

__all__ = [
    "bisenet",
    "einet",
    "embedding_teacher",
    "panoptic_deeplab",
    "panoptic_unet",
    "resnets",
    "semantic_heads",
    "semantic_teacher",
    "timm_backbone",
]
