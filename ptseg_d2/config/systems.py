"""MODEL nodes of the systems beside the main recipe: two-head U-Net, EINet, detectors."""

from __future__ import annotations

from detectron2.config import CfgNode


def add_systems_config(cfg: CfgNode) -> None:
    """Add the nodes in place."""
    _add_panoptic_unet(cfg)
    _add_einet(cfg)
    _add_einet_losses(cfg)
    _add_detector(cfg)


def _add_panoptic_unet(cfg: CfgNode) -> None:
    """Two-head U-Net ([PanopticUNet]): decoder, embeddings and their losses are those of MODEL.EMBEDDING."""
    unet = cfg.MODEL.PANOPTIC_UNET = CfgNode()
    unet.FREEZE_ENCODER = False  # neither weights nor batch-norm statistics of the backbone change
    unet.ATTENTION = "none"  # attention after every decoder level: "none" or "scse" ([scSE])
    unet.SCSE_REDUCTION = 2  # channels / this are in the middle of cSE (segmentation_models.pytorch 16), >= 1
    unet.SCSE_COMBINE = "add"  # cSE and sSE become one by "add" ([scSE]) or "max" ([scSE-journal])
    unet.EMBEDDING_CONV = True  # a 3x3 convolution of its own before the linear embedding head; False = [PanopticUNet]
    unet.SEMANTIC_WEIGHT = 1.0  # weight of the cross entropy beside the terms of MODEL.EMBEDDING, >= 0
    # each thing class has a loss of its own ([DiscLoss]); False = instances of all classes push each other
    unet.PER_CLASS = False


def _add_einet(cfg: CfgNode) -> None:
    """[EINet].

    The semantic branch is MODEL.SEM_SEG_HEAD's DeepLabV3PlusDecoder, how centres are found is in EVAL.CENTERS, and the
    smallest segments are those of INSTANCE.MIN_AREA and EVAL.MIN_STUFF_AREA.
    """
    einet = cfg.MODEL.EINET = CfgNode()
    # instance branch: low-level features, fine to coarse, and last the coarse one; the first as in the semantic branch
    einet.IN_FEATURES = ["res2", "res3", "res5"]
    einet.CONVS_DIM = 128  # width to which the coarse feature is projected, in channels
    einet.LOW_LEVEL_CHANNELS = [32, 64]  # widths of the projected low-level features, in channels
    # widths of the decoder at each of them, the first is that of the embedding, in channels
    einet.DECODER_CHANNELS = [128, 128]
    einet.HEAD_CHANNELS = 32  # hidden width of the predictors of heatmaps and offsets, in channels
    einet.NORM = "BN"  # normalisation of the instance branch, a name Detectron2 knows
    einet.INTERACTION = True  # semantic and instance embeddings change each other; False = two branches on their own
    einet.DICTIONARY_MOMENTUM = 0.9  # weight of the old class centre at each update (table 1), in [0, 1)


def _add_einet_losses(cfg: CfgNode) -> None:
    einet = cfg.MODEL.EINET
    einet.ADAPTIVE_RADIUS = True  # Gaussians as wide as the instances; False = FIXED_SIGMA ([EINet], table 2)
    # IoU that a box keeps when its corners move by the radius; the smaller, the wider the Gaussians; in (0, 1)
    einet.MIN_OVERLAP = 0.3
    einet.FIXED_SIGMA = 8.0  # standard deviation of all Gaussians, in pixels of the image, > 0
    einet.CENTER_LOSS = "mse"  # loss of the heatmaps, "mse" or "focal" (table 2)
    einet.CENTER_WEIGHT = 200.0  # weight of the heatmap's loss; 1 is usual for the focal loss; >= 0
    einet.OFFSET_WEIGHT = 0.01  # weight of the offsets' L1 loss per pixel of the image, >= 0


def _add_detector(cfg: CfgNode) -> None:
    """Detectron2's detectors (Mask R-CNN, PointRend) on street scenes, and as instance source of self-training."""
    cfg.MODEL.DETECTOR = CfgNode()
    # names of the detector's outputs, MODEL.ROI_HEADS.NUM_CLASSES of them in their order; [] = the 80 of COCO
    cfg.MODEL.DETECTOR.CLASSES = []
    cfg.MODEL.DETECTOR.RIDERS = False  # a detected person on two wheels becomes a rider, which COCO does not know
    cfg.MODEL.DETECTOR.MIN_SCORE = 0.5  # lowest score of a detection that is kept as a pseudo instance, in [0, 1]
