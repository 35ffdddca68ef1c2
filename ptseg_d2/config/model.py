"""MODEL: networks of both branches."""

from __future__ import annotations

from detectron2.config import CfgNode


def add_model_config(cfg: CfgNode) -> None:
    """Add the keys in place."""
    cfg.MODEL.BFLOAT16 = False  # run the networks under bfloat16 autocast where the device computes in it
    # each channel of each image gets mean 0 and deviation 1, in place of MODEL.PIXEL_MEAN and PIXEL_STD
    cfg.MODEL.NORMALIZE_IMAGES = False
    _add_timm(cfg)
    _add_semantic(cfg)
    _add_embedding(cfg)
    _add_embedding_loss(cfg)


def _add_timm(cfg: CfgNode) -> None:
    # BACKBONE.NAME "build_timm_backbone"
    cfg.MODEL.TIMM = CfgNode()
    cfg.MODEL.TIMM.NAME = "tf_efficientnet_lite0"  # a network that timm has as a pyramid of features
    # "package" = of an installed package, "hub" = timm's own, or a file of timm's weights, for a stage that starts from
    # no other; PIXEL_MEAN, PIXEL_STD and INPUT.FORMAT become those of the weights; "" = random weights
    cfg.MODEL.TIMM.WEIGHTS = ""
    cfg.MODEL.TIMM.OUT_FEATURES = ["stem", "res2", "res3", "res4", "res5"]  # at strides 2, 4, 8, 16, 32, or less
    cfg.MODEL.TIMM.OUTPUT_STRIDE = 32  # of the coarsest feature; below 32 by dilation, in (8, 16, 32)
    cfg.MODEL.TIMM.FREEZE_AT = 0  # levels from the finest on that never change, >= 0
    cfg.MODEL.TIMM.DROP_PATH = 0.0  # probability that a block is left out in training ([StochasticDepth]), in [0, 1)
    cfg.MODEL.TIMM.GRAD_CHECKPOINTING = False  # compute activations again in the backward pass, for less memory


def _add_semantic(cfg: CfgNode) -> None:
    # widths of the projected low-level features, fine to coarse, in channels
    cfg.MODEL.SEM_SEG_HEAD.LOW_LEVEL_CHANNELS = [48]
    cfg.MODEL.SEM_SEG_HEAD.DECODER_CHANNELS = [256]  # widths of the decoder at each of them, in channels
    # source loss: exponent x, where the weight of a class ~ (its share of the pixels)^-x, in [0, 1]; 0 = all alike
    cfg.MODEL.SEM_SEG_HEAD.CLASS_BALANCE = 0.0
    cfg.MODEL.SEM_SEG_HEAD.AUXILIARY_WEIGHT = 1.0  # weight of the losses on auxiliary outputs ([BiSeNet]), >= 0

    cfg.MODEL.BISENET = CfgNode()
    cfg.MODEL.BISENET.CONTEXT_BACKBONE = "build_resnet_backbone"  # registered builder of the context path
    # widths of the spatial path's three convolutions, in channels
    cfg.MODEL.BISENET.SPATIAL_CHANNELS = [64, 128, 256]


def _add_embedding(cfg: CfgNode) -> None:
    cfg.MODEL.EMBEDDING = CfgNode()
    cfg.MODEL.EMBEDDING.IN_FEATURES = ["stem", "res2", "res3", "res4", "res5"]  # U-Net skips, fine to coarse
    cfg.MODEL.EMBEDDING.DECODER_CHANNELS = [32, 32, 64, 96]  # decoder widths, fine to coarse, in channels
    cfg.MODEL.EMBEDDING.NORM = "BN"  # normalisation of the decoder, a name Detectron2 knows
    cfg.MODEL.EMBEDDING.DIM = 16  # dimensions of an embedding (E), >= 1
    cfg.MODEL.EMBEDDING.COORDINATES = False  # give the last decoder layer the normalised pixel position
    # start from embeddings that are this times the position, in embedding units per image height; 0 = from nothing
    cfg.MODEL.EMBEDDING.POSITION_GAIN = 0.0
    # what counts as one image height in POSITION_GAIN, for images of many sizes and crops of them, in pixels;
    # 0 = each image's own height
    cfg.MODEL.EMBEDDING.POSITION_HEIGHT = 0.0
    cfg.MODEL.EMBEDDING.DELTA_VAR = 0.5  # radius around an instance centre without pull, in embedding units
    # half of the distance beyond which centres stop pushing, in embedding units
    cfg.MODEL.EMBEDDING.DELTA_DIST = 1.5


def _add_embedding_loss(cfg: CfgNode) -> None:
    # added to both radii where they are margins of a hinge; keeps early training from over-splitting ([thesis], section
    # 9.2: -.2 or .2), in embedding units; 0 = off
    cfg.MODEL.EMBEDDING.EPSILON = 0.0
    cfg.MODEL.EMBEDDING.EPSILON_DECAY = 1000  # time after which 1/e of it is left, in iterations
    cfg.MODEL.EMBEDDING.PULL = 1.0  # weight of the pull to the own centre, >= 0
    cfg.MODEL.EMBEDDING.PUSH = 1.0  # weight of the push between centres, >= 0
    cfg.MODEL.EMBEDDING.REG = 0.001  # weight of the pull of centres to the origin, >= 0
    cfg.MODEL.EMBEDDING.OBJECT = 1.0  # weight of the Dice loss of the soft masks, >= 0
    cfg.MODEL.EMBEDDING.UNLABELED_PUSH = 1.0  # weight of the push between centres and unlabelled pixels, >= 0
