"""Every configuration key that ptseg_d2 adds to Detectron2's defaults, with its unit or range."""

from __future__ import annotations

from ptseg_d2.config.systems import add_systems_config

from detectron2.config import CfgNode, get_cfg
from detectron2.projects.deeplab import add_deeplab_config


def add_ptseg_config(cfg: CfgNode) -> None:
    """Add ptseg_d2's keys and their defaults to a Detectron2 config, in place; those of its DeepLab project too."""
    add_deeplab_config(cfg)
    _add_recipe(cfg)
    _add_data(cfg)
    _add_model(cfg)
    _add_self_training(cfg)
    _add_instance(cfg)
    add_systems_config(cfg)


def get_ptseg_cfg() -> CfgNode:
    """Detectron2's default config plus ptseg_d2's keys."""
    cfg = get_cfg()
    add_ptseg_config(cfg)
    return cfg


def _add_recipe(cfg: CfgNode) -> None:
    cfg.RECIPE = CfgNode()
    # what this config does, a name in ptseg_d2.recipe.configs.STAGES; also its sub-folder of OUTPUT_DIR
    cfg.RECIPE.STAGE = ""
    # config files of earlier stages, relative to this file, in the order in which they run
    cfg.RECIPE.NEEDS = []
    # config file whose keys hold for every semantic stage of the recipe, relative to this file: another network
    # without a copy of each stage's file; "" = none
    cfg.RECIPE.SEMANTIC_NETWORK = ""
    # stage whose final weights this stage starts from; "" = MODEL.WEIGHTS or random
    cfg.RECIPE.INIT_FROM = ""
    cfg.RECIPE.INIT_BACKBONE_ONLY = False  # take the backbone alone: that stage trained another head
    # stage whose predicted masks of the target images guide this one; "" = none
    cfg.RECIPE.MASKS_FROM = ""
    # name in results.json of the networks trained with labels: "source", or "oracle" for target labels
    cfg.RECIPE.SUPERVISED_ROW = "source"
    # folder with the stages that this config needs, made there or shared with other configs; "" = OUTPUT_DIR
    cfg.RECIPE.NEEDS_DIR = ""
    cfg.RECIPE.NUM_PICTURES = 8  # test images drawn as input / truth / before / after
    _add_rounds(cfg)
    _add_report(cfg)


def _add_rounds(cfg: CfgNode) -> None:
    # rounds of semantic and instance self-training, each from the last (thesis, future work); they end by themselves
    # when the agreement of student and teacher, which needs no label, stops rising
    cfg.RECIPE.ROUNDS = 1
    # instance masks laid over the semantic pseudo labels from the second round on (thesis section 9.5): "predicted" by
    # the round before, "none", or "ground_truth", which reads labels of the target and is no domain adaptation
    cfg.RECIPE.GUIDANCE = "predicted"
    cfg.RECIPE.ORACLE_GUIDANCE = ""  # GUIDANCE "ground_truth": labelled twin of DATASETS.TARGET
    cfg.RECIPE.ORACLE_GUIDANCE_SHARE = 0.3  # random share of its instances that is laid over, in (0, 1]
    cfg.RECIPE.AGREEMENT_IMAGES = 50  # target images on which the agreement is measured


def _add_report(cfg: CfgNode) -> None:
    cfg.RECIPE.REPORT = True  # write OUTPUT_DIR/report.html
    cfg.RECIPE.REPORT_IMAGES = 12  # worst and best test images in it, so many of each
    # target images whose pseudo labels are drawn at the beginning, in the middle and at the end of self-training
    cfg.RECIPE.PSEUDO_LABEL_PICTURES = 3


def _add_data(cfg: CfgNode) -> None:
    cfg.DATASETS.SOURCE = ()  # labelled data sets; several are concatenated
    cfg.DATASETS.TARGET = ()  # unlabelled data sets; no label of them is ever opened
    # keep only the listed images of labelled sets: (data set, text file with one image id per line) pairs
    cfg.DATASETS.LISTS = []

    _add_source_input(cfg)
    _add_target_input(cfg)

    cfg.DATALOADER.CACHE_MB = 0  # memory for decoded images per stream and loading process, in MiB

    cfg.SOLVER.SOURCE_PER_BATCH = 8  # labelled source images per step, over all processes
    cfg.SOLVER.TARGET_PER_BATCH = 2  # unlabelled target images per step, over all processes
    cfg.SOLVER.OPTIMIZER = "SGD"  # "SGD" or "AdamW"
    cfg.SOLVER.HEAD_LR_FACTOR = 1.0  # learning-rate factor of everything but the backbone


def _add_source_input(cfg: CfgNode) -> None:
    cfg.INPUT.CROP_SIZE = (128, 256)  # training crop (height, width) in pixels
    cfg.INPUT.SOURCE_SCALE = (0.5, 2.0)  # range of the random size factor of source images
    cfg.INPUT.SOURCE_FLIP = 0.5  # probability of mirroring a source image
    cfg.INPUT.SOURCE_JITTER = 0.5  # strength of brightness/contrast/saturation jitter, in [0, 1]; 0 = off
    cfg.INPUT.SOURCE_JITTER_PROBABILITY = 0.8  # share of the source images with colour jitter
    cfg.INPUT.SOURCE_GAMMA = 0.5  # gamma is drawn from exp(U[-x, x]); 0 = off
    cfg.INPUT.SOURCE_GAMMA_PROBABILITY = 1.0  # share of the source images with another gamma
    cfg.INPUT.SOURCE_BLUR = (0.1, 1.5)  # range of the Gaussian sigma in pixels
    cfg.INPUT.SOURCE_BLUR_PROBABILITY = 0.5  # share of the source images that are blurred
    cfg.INPUT.SOURCE_NOISE = 0.0  # largest standard deviation of Gaussian pixel noise, in grey levels (0-255)
    # restyle source images by a random target image, used by the stages that may see the target only:
    # "none", "statistics" (Lab mean and deviation), "colors" (the same of the lightness, and the colour that the target
    # has at each lightness) or "fda" (low-frequency amplitudes)
    cfg.INPUT.SOURCE_STYLE = "none"
    cfg.INPUT.STYLE_PROBABILITY = 0.5  # share of the source images that are restyled, in [0, 1]
    cfg.INPUT.FDA_BETA = 0.01  # half-width of the swapped amplitude window, relative to the shorter side
    # rare-class sampling (DAFormer): a class is drawn with softmax((1 - share) / T), then an image with it; 0 = off
    cfg.INPUT.RARE_CLASS_TEMPERATURE = 0.0
    # share of an image's labelled pixels that a class must cover to be drawn for it (DAFormer: 3000 px of 1914x1052)
    cfg.INPUT.RARE_CLASS_MIN_AREA = 0.0015
    # the crop is drawn again until this share of it shows the class, at most RARE_CLASS_CROPS times
    cfg.INPUT.RARE_CLASS_MIN_SHARE = 0.005
    cfg.INPUT.RARE_CLASS_CROPS = 10


def _add_target_input(cfg: CfgNode) -> None:
    cfg.INPUT.TARGET_PRE_SCALE = (1.0, 1.1)  # size factor of the canvas that all views of an image share (SAC)
    cfg.INPUT.TARGET_VIEWS = 4  # views per target image, the first is the whole canvas (SAC)
    cfg.INPUT.TARGET_ZOOM = (0.5, 1.0)  # side of the other views relative to the canvas
    cfg.INPUT.TARGET_FLIP = 0.5  # probability of flipping a view
    cfg.INPUT.TARGET_CANVAS_FLIP = 0.5  # probability of flipping the canvas, before the views are cut out of it
    cfg.INPUT.TARGET_JITTER = 0.4  # strength of the student-only colour jitter
    cfg.INPUT.TARGET_JITTER_PROBABILITY = 0.5  # share of the student views with colour jitter
    cfg.INPUT.TARGET_GREY = 0.2  # probability of a grey student view
    cfg.INPUT.TARGET_BLUR = (0.1, 2.0)  # range of the student-only Gaussian sigma in pixels
    cfg.INPUT.TARGET_BLUR_PROBABILITY = 1.0  # share of the student views that are blurred

    cfg.INPUT.PREDICTED_MASKS = ""  # index.json of masks that an earlier stage predicted on DATASETS.TARGET
    # rare-class and importance sampling look at the things only; with INSTANCE.GROUP always at those of the group
    cfg.INPUT.DRAW_THINGS = False

    # ClassMix images get colour jitter of this strength with probability .8 and blur with the given one (DACS .25, .5)
    cfg.INPUT.MIX_JITTER = 0.0
    cfg.INPUT.MIX_BLUR_PROBABILITY = 0.0
    # masked image consistency (MIC): share of the blocks that are hidden from the student, in [0, 1); 0 = off
    cfg.INPUT.MASK_RATIO = 0.0
    cfg.INPUT.MASK_BLOCK = 0.125  # side of a block, as a share of the crop's height (64 px at 512)


def _add_model(cfg: CfgNode) -> None:
    cfg.MODEL.BFLOAT16 = False  # run the networks under bfloat16 autocast where the device computes in it
    cfg.MODEL.SEM_SEG_HEAD.ASPP_DILATIONS = [6, 12, 18]  # dilations of the 3x3 branches
    cfg.MODEL.SEM_SEG_HEAD.LOW_LEVEL_CHANNELS = [48]  # widths of the projected low-level features, fine to coarse
    cfg.MODEL.SEM_SEG_HEAD.DECODER_CHANNELS = [256]  # widths of the decoder at each of them
    # source loss: weight of a class ~ (its share of the pixels)^-exponent, in [0, 1]; 0 = all alike
    cfg.MODEL.SEM_SEG_HEAD.CLASS_BALANCE = 0.0
    cfg.MODEL.SEM_SEG_HEAD.AUXILIARY_WEIGHT = 1.0  # weight of the losses on auxiliary outputs (BiSeNet)

    cfg.MODEL.BISENET = CfgNode()
    cfg.MODEL.BISENET.CONTEXT_BACKBONE = "build_resnet_backbone"  # registered builder of the context path
    cfg.MODEL.BISENET.SPATIAL_CHANNELS = [64, 128, 256]  # widths of the spatial path's three convolutions

    cfg.MODEL.EMBEDDING = CfgNode()
    cfg.MODEL.EMBEDDING.IN_FEATURES = ["stem", "res2", "res3", "res4", "res5"]  # U-Net skips, fine to coarse
    cfg.MODEL.EMBEDDING.DECODER_CHANNELS = [32, 32, 64, 96]  # decoder widths, fine to coarse
    cfg.MODEL.EMBEDDING.NORM = "BN"  # normalisation of the decoder, a name Detectron2 knows
    cfg.MODEL.EMBEDDING.DIM = 16  # E
    cfg.MODEL.EMBEDDING.COORDINATES = False  # give the last decoder layer the normalised pixel position
    # start from embeddings that are this many units per image height times the position; 0 = from nothing
    cfg.MODEL.EMBEDDING.POSITION_GAIN = 0.0
    cfg.MODEL.EMBEDDING.DELTA_VAR = 0.5  # radius around an instance centre without pull
    cfg.MODEL.EMBEDDING.DELTA_DIST = 1.5  # half of the distance beyond which centres stop pushing
    # added to both radii where they are margins of a hinge, in embedding units; keeps early training from
    # over-splitting (thesis section 9.2: -.2 or .2); 0 = off
    cfg.MODEL.EMBEDDING.EPSILON = 0.0
    cfg.MODEL.EMBEDDING.EPSILON_DECAY = 1000  # iterations after which 1/e of it is left
    cfg.MODEL.EMBEDDING.PULL = 1.0  # weights of the loss terms
    cfg.MODEL.EMBEDDING.PUSH = 1.0
    cfg.MODEL.EMBEDDING.REG = 0.001
    cfg.MODEL.EMBEDDING.OBJECT = 1.0
    cfg.MODEL.EMBEDDING.UNLABELED_PUSH = 1.0
    cfg.MODEL.EMBEDDING.KERNEL_THRESHOLD = 0.5  # value of the soft mask at distance DELTA_VAR, in (0, 1)


def _add_self_training(cfg: CfgNode) -> None:
    st = cfg.MODEL.SELF_TRAINING = CfgNode()
    # registered meta-architecture of the semantic student and teacher; a network that also finds instances, such as
    # EINet, goes on training that on the source images
    st.STUDENT = "SemanticNetwork"
    st.EMA_DECAY = 0.99  # weight of the old teacher at each update, in [0, 1)
    st.EMA_INTERVAL = 100  # iterations between two updates of the teacher
    st.EMA_WARMUP = False  # the decay begins at 0 and grows as 1 - 1/(t + 1) up to EMA_DECAY (DACS)
    st.TARGET_WEIGHT = 5.0  # weight of the target loss after the ramp
    st.RAMP_ITERS = 1000  # iterations over which the target weight grows linearly from 0; 0 = no ramp
    # "frozen" (running statistics stay, affine terms are trained) or "target" (they follow the target images)
    st.BN_STATS = "frozen"
    # what the student learns on target images: "class_thresholds" (SAC), "confidence_share" (DACS), "predicted" (the
    # masks of INPUT.PREDICTED_MASKS as they are) or "none" (only the entropy, if ENTROPY_WEIGHT > 0)
    st.PSEUDO_LABELS = "class_thresholds"
    st.CONFIDENCE_FLOOR = 0.968  # "confidence_share": the loss weight is the share of pixels at least this sure
    st.PRIOR_MOMENTUM = 0.99  # of the class prior chi
    st.THRESHOLD_UPPER = 0.75  # share of the peak confidence that a frequent class must reach (zeta)
    st.THRESHOLD_LOWER = 0.2  # lowest threshold
    st.THRESHOLD_BETA = 1e-3  # class prior at which the threshold begins to be discounted (beta)
    st.FOCAL_POWER = 3.0  # exponent of (1 - chi)
    st.IMPORTANCE_SAMPLING = True  # draw target images by predicted class content
    st.UNIFORM_PRIOR = 0.25  # share of uniform sampling in it
    # classes that the source never shows, so that nothing predicts them: at their turn any image is drawn (SAC)
    st.UNIFORM_CLASSES = []
    st.CLASS_MIX = False  # paste half of a source image's classes on the student's views (DACS)
    st.MASKED_WEIGHT = 1.0  # weight of the loss on masked views relative to that on the others, see INPUT.MASK_RATIO
    st.ENTROPY_WEIGHT = 0.0  # weight of the student's entropy on target images (FDA .005); 0 = off
    st.ENTROPY_POWER = 2.0  # eta of the Charbonnier penalty on it
    st.EVALUATE = "student"  # which network predicts: "student" or "teacher"


def _add_instance(cfg: CfgNode) -> None:
    cfg.INSTANCE = CfgNode()
    # thing class names per model; [] = one model for all (ALL). ICM = eight groups of one class; BASE and CCM =
    # three categories, where BASE starts all of them from one source model and CCM each from its own
    cfg.INSTANCE.GROUPS = []
    cfg.INSTANCE.TARGET_WEIGHT = 1.0  # weight of the losses on pseudo instances
    cfg.INSTANCE.TEACHER = "frozen"  # "frozen" (copied every REFRESH_INTERVAL) or "ema" (every iteration)
    cfg.INSTANCE.REFRESH_INTERVAL = 500  # iterations between two copies of the student into the frozen teacher
    cfg.INSTANCE.EMA_DECAY = 0.999  # TEACHER "ema": weight of the old teacher per iteration, in [0, 1)
    _add_consistency(cfg)
    _add_clustering(cfg)
    _add_mix(cfg)
    _add_oracle(cfg)


def _add_consistency(cfg: CfgNode) -> None:
    # Dice between the student's and the teacher's soft masks around the same anchors (thesis Eq. 7.10)
    cfg.INSTANCE.CONSISTENCY_WEIGHT = 0.0  # >= 0; 0 = off (thesis .1)
    # the teacher sees the image turned by an angle from U(0, x), in degrees, in [0, 180]; 0 = photometric noise only
    cfg.INSTANCE.CONSISTENCY_ROTATION = 180.0
    cfg.INSTANCE.CONSISTENCY_ANCHORS = 20  # anchors are drawn at most so often
    cfg.INSTANCE.CONSISTENCY_REST = 0.05  # until no more than this share of the class mask is uncovered, in [0, 1)


def _add_clustering(cfg: CfgNode) -> None:
    cfg.INSTANCE.CLUSTERING = "mean_shift_plus"  # "mean_shift_plus", "mean_shift" or "agglomerative"
    cfg.INSTANCE.CLUSTER_SAMPLES = 2048  # points of a class mask on which modes are searched
    cfg.INSTANCE.CLUSTER_SEEDS = 128  # seeds of the mode search, "mean_shift_plus" only
    cfg.INSTANCE.MIN_MASK_AREA = 2e-3  # smallest class mask that is clustered, share of the image
    # smallest instance, share of the image; labelled source instances of a smaller share of their crop are ignored
    cfg.INSTANCE.MIN_AREA = 5e-4
    # predictions of the self-trained models, and of networks that do both branches at once, below this score are
    # dropped: stability times the mean probability of the class, in [0, 1]; 0 = none
    cfg.INSTANCE.MIN_SCORE = 0.0
    cfg.INSTANCE.STABILITY = 0.6  # median IoU below which a pseudo instance is ignored, in [0, 1]
    cfg.INSTANCE.STABILITY_ANCHORS = 10  # anchors per instance of the stability test
    cfg.INSTANCE.MIN_STUFF_AREA = 1e-3  # smaller stuff segments become void, share of the image
    # erosion then dilation of predicted instances (opening), and dilation then erosion (closing), by a disc of this
    # radius, as a share of the image's height; 0 = off
    cfg.INSTANCE.OPENING = 0.0
    cfg.INSTANCE.CLOSING = 0.0


def _add_mix(cfg: CfgNode) -> None:
    # stage "instance_mix": folders of instance stages (.../instance_selftrain) among which each class chooses
    cfg.INSTANCE.MIX_FROM = []
    # "stability" (mean stability of the pseudo instances on target images, no label) or "oracle" (AP50 on
    # DATASETS.TEST, not domain adaptation)
    cfg.INSTANCE.MIX_BY = "stability"


def _add_oracle(cfg: CfgNode) -> None:
    """Diagnosis by labels that no training may see; off by default, and no result of a method."""
    # resamples of the test images behind each 95 % confidence interval; 0 = no intervals
    cfg.TEST.BOOTSTRAP = 1000
    # also score the instances inside the true class masks of DATASETS.TEST (thesis table 12.1)
    cfg.TEST.ORACLE_MASKS = False
    # labelled twin of DATASETS.TARGET, whose labels count true and false pseudo instances for TensorBoard and
    # nothing else; "" = off
    cfg.INSTANCE.ORACLE_CURVES = ""
    cfg.INSTANCE.ORACLE_PERIOD = 10  # iterations between two counts, >= 1
    cfg.INSTANCE.ORACLE_IMAGES = 20  # images of each count
