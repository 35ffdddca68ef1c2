"""Configuration keys of the systems beside the main recipe, one function for each."""

from __future__ import annotations

from detectron2.config import CfgNode
from detectron2.projects.panoptic_deeplab import add_panoptic_deeplab_config
from detectron2.projects.point_rend import add_pointrend_config


def add_systems_config(cfg: CfgNode) -> None:
    """Add the keys of every such system to a config that has ptseg_d2's other keys, in place."""
    _add_world(cfg)
    _add_color_augmentation(cfg)
    _add_positions(cfg)
    _add_panoptic_unet(cfg)
    _add_detector(cfg)
    _add_panoptic_deeplab(cfg)
    _add_einet(cfg)


def _add_panoptic_unet(cfg: CfgNode) -> None:
    """Two-head U-Net (paper 2): decoder, embeddings and their losses are those of MODEL.EMBEDDING."""
    unet = cfg.MODEL.PANOPTIC_UNET = CfgNode()
    unet.FREEZE_ENCODER = False  # neither weights nor batch-norm statistics of the backbone change
    # attention after every decoder level: "none" or "scse" (Roy et al.)
    unet.ATTENTION = "none"
    unet.SCSE_REDUCTION = 2  # channels / this in the middle of cSE, >= 1; segmentation_models.pytorch has 16
    unet.SCSE_COMBINE = "add"  # cSE and sSE become one by "add" (2018, paper 2) or "max" (2019)
    # a 3x3 convolution of its own before the linear embedding head; False = paper 2
    unet.EMBEDDING_CONV = True
    unet.SEMANTIC_WEIGHT = 1.0  # weight of the cross entropy beside the terms of MODEL.EMBEDDING
    # each thing class has a loss of its own (De Brabandere et al.); False = instances of all classes push each other
    unet.PER_CLASS = False
    # pixels without an instance count in the terms that know them (reg, object, unlabelled push); False = paper 2
    unet.EMBED_STUFF = False

    # each channel of each image gets mean 0 and deviation 1, in place of MODEL.PIXEL_MEAN and PIXEL_STD
    cfg.MODEL.NORMALIZE_IMAGES = False
    # radius of plain mean-shift ("mean_shift"), embedding units; 0 = DELTA_VAR, paper 2: DELTA_DIST
    cfg.INSTANCE.CLUSTER_BANDWIDTH = 0.0

    # (height, width) at which PanopticUNet sees test images; its result comes back at their own size; () = as they are
    cfg.INPUT.TEST_SIZE = ()
    # first stretch every source image to CROP_SIZE (paper 2); SOURCE_SCALE is then relative to that
    cfg.INPUT.SOURCE_FIT = False
    cfg.INPUT.SOURCE_STRETCH = False  # height and width get a factor of SOURCE_SCALE each, in place of a common one
    cfg.INPUT.SOURCE_ROTATION = 0.0  # source images are turned by an angle from U(0, x), in degrees, in [0, 360]
    cfg.INPUT.SOURCE_VERTICAL_FLIP = 0.0  # probability of turning a source image upside down
    # what is seen beside a source image, always without a label: "grey", or "reflect", the image mirrored at its edge
    cfg.INPUT.SOURCE_BORDER = "grey"

    # labelled data sets whose loss decides when training stops; () = it runs to SOLVER.MAX_ITER
    cfg.DATASETS.VALIDATION = ()
    cfg.SOLVER.VALIDATION_PERIOD = 0  # iterations between two looks at it; 0 = once per epoch of the source
    cfg.SOLVER.PATIENCE = 20  # looks without a lower loss after which training stops, >= 1


def _add_world(cfg: CfgNode) -> None:
    """Folders that a user brings, see `ptseg_d2.data.datasets.instance_folders`."""
    cfg.WORLD = CfgNode()
    cfg.WORLD.SOURCE = ""  # labelled folder: images/, and labels/ with a PNG of instance numbers per image; "" = none
    cfg.WORLD.TARGET = ""  # target folder: images/, and labels/ of the test images; "" = none
    cfg.WORLD.THING = "object"  # name of the one class of objects
    # share of the target images, the last ones by name, that are the test set, in (0, 1); the labels of the others are
    # never opened (but for data set folder_target_labeled_train). 0 = the test images are those with a label file
    cfg.WORLD.TEST_SHARE = 0.375


def _add_color_augmentation(cfg: CfgNode) -> None:
    """Changes of source images that leave no trace of how they were recorded, before INPUT.SOURCE_STYLE; 0 = off."""
    cfg.INPUT.SOURCE_CONTRAST = 0.0  # share of the source images whose values are spread over 0..255, in [0, 1]
    cfg.INPUT.SOURCE_INVERT = 0.0  # share of the source images that become their negative, in [0, 1]
    # share of the source images whose grey levels are drawn between two random colours, in [0, 1]
    cfg.INPUT.SOURCE_DUOTONE = 0.0


def _add_positions(cfg: CfgNode) -> None:
    # pixels that count as one image height in MODEL.EMBEDDING.POSITION_GAIN, for images of many sizes and crops of
    # them; 0 = each image's own height
    cfg.MODEL.EMBEDDING.POSITION_HEIGHT = 0.0


def _add_detector(cfg: CfgNode) -> None:
    """Detectron2's detectors (Mask R-CNN, PointRend) on street scenes, and as instance source of self-training."""
    add_pointrend_config(cfg)
    cfg.MODEL.DETECTOR = CfgNode()
    # names of the detector's outputs, MODEL.ROI_HEADS.NUM_CLASSES of them in their order; [] = the 80 of COCO
    cfg.MODEL.DETECTOR.CLASSES = []
    cfg.MODEL.DETECTOR.RIDERS = False  # a detected person on two wheels becomes a rider, which COCO does not know
    cfg.MODEL.DETECTOR.MIN_SCORE = 0.5  # lowest score of a detection that is kept as a pseudo instance, in [0, 1]
    # stage whose detections on the target images are the first pseudo instances of this one; "" = none
    cfg.RECIPE.DETECTIONS_FROM = ""
    cfg.INPUT.DETECTIONS = ""  # index.json of such detections, see ptseg_d2.detectors.pseudo_instances
    # steps during which they are the pseudo instances, before the teacher's own clusters take over; 0 = never
    cfg.INSTANCE.DETECTED_ITERS = 0


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
