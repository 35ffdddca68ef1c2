"""Configuration keys of the single networks that do everything, one function each."""

from __future__ import annotations

from detectron2.config import CfgNode
from detectron2.projects.panoptic_deeplab import add_panoptic_deeplab_config


def add_systems_config(cfg: CfgNode) -> None:
    """Add the keys of every such system and their defaults, in place."""
    _add_panoptic_deeplab(cfg)
    _add_einet(cfg)


def _add_panoptic_deeplab(cfg: CfgNode) -> None:
    """The keys of Detectron2's own project, under their own names, with its defaults for 1024x2048 pixels."""
    optimizer = cfg.SOLVER.OPTIMIZER
    add_panoptic_deeplab_config(cfg)
    cfg.SOLVER.OPTIMIZER = optimizer  # the project has a key of this name, with other values


def _add_einet(cfg: CfgNode) -> None:
    """The semantic branch is MODEL.SEM_SEG_HEAD's DeepLabV3PlusDecoder; sizes follow INSTANCE.MIN_(STUFF_)AREA."""
    einet = cfg.MODEL.EINET = CfgNode()
    # instance branch: low-level features, fine to coarse, and last the coarse one; the first as in the semantic branch
    einet.IN_FEATURES = ["res2", "res3", "res5"]
    einet.CONVS_DIM = 128  # width to which the coarse feature is projected
    einet.LOW_LEVEL_CHANNELS = [32, 64]  # widths of the projected low-level features
    einet.DECODER_CHANNELS = [128, 128]  # widths of the decoder at each of them; the first is that of the embedding
    einet.HEAD_CHANNELS = 32  # hidden width of the predictors of heatmaps and offsets
    einet.NORM = "BN"  # normalisation of the instance branch, a name Detectron2 knows
    einet.INTERACTION = True  # semantic and instance embeddings change each other; False = two branches on their own
    einet.DICTIONARY_MOMENTUM = 0.9  # weight of the old class centre at each update, in [0, 1) (table 1)
    einet.ADAPTIVE_RADIUS = True  # Gaussians as wide as the instances; False = FIXED_SIGMA (table 2)
    # IoU that a box keeps when its corners move by the radius, in (0, 1); the smaller, the wider the Gaussians
    einet.MIN_OVERLAP = 0.3
    einet.FIXED_SIGMA = 8.0  # standard deviation of all Gaussians, in pixels of the image, > 0
    einet.CENTER_LOSS = "mse"  # "mse" or "focal" (table 2)
    einet.CENTER_WEIGHT = 200.0  # weight of the heatmap's loss; 1 is usual for the focal loss
    einet.OFFSET_WEIGHT = 0.01  # weight of the offsets' L1 loss per pixel of the image
    einet.CENTER_THRESHOLD = 0.1  # lowest value of a centre
    einet.NMS_KERNEL = 7  # a centre is the only one of its class in a square of so many heatmap pixels, odd
    einet.TOP_K = 200  # at most so many centres of an image
    # what ranks instances: "objectness" (value of the centre), "semantic" (mean class probability) or "product"
    einet.INSTANCE_SCORE = "product"  # (table 3; decides AP, not PQ)
