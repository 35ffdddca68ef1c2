"""MODEL.SELF_TRAINING: student and teacher of the semantic branch; those of the instance branch have INSTANCE."""

from __future__ import annotations

from detectron2.config import CfgNode


def add_self_training_config(cfg: CfgNode) -> None:
    """Add the node in place."""
    options = cfg.MODEL.SELF_TRAINING = CfgNode()
    # registered meta-architecture of student and teacher; a network that also finds instances, such as EINet, goes on
    # training that on the source images
    options.STUDENT = "SemanticNetwork"
    options.TARGET_WEIGHT = 5.0  # weight of the target loss after the ramp, >= 0
    options.RAMP_ITERS = 1000  # time over which the target weight grows linearly from 0, in iterations; 0 = no ramp
    # "frozen" (running statistics stay, affine terms are trained) or "target" (they follow the target images)
    options.BN_STATS = "frozen"
    options.EVALUATE = "student"  # which network predicts: "student" or "teacher"
    _add_teacher(cfg)
    _add_pseudo_labels(cfg)
    _add_losses(cfg)


def _add_teacher(cfg: CfgNode) -> None:
    options = cfg.MODEL.SELF_TRAINING
    options.EMA_DECAY = 0.99  # weight of the old teacher at each update, in [0, 1)
    options.EMA_INTERVAL = 100  # time between two updates of the teacher, in iterations
    options.EMA_WARMUP = False  # the decay begins at 0 and grows as 1 - 1/(t + 1) up to EMA_DECAY ([DACS])


def _add_pseudo_labels(cfg: CfgNode) -> None:
    options = cfg.MODEL.SELF_TRAINING
    # what the student learns on the target: "class_thresholds" ([SAC]), "confidence_share" ([DACS]), "predicted" (the
    # masks of INPUT.PREDICTED_MASKS as they are) or "none" (only the entropy, if ENTROPY_WEIGHT > 0)
    options.PSEUDO_LABELS = "class_thresholds"
    # "confidence_share": the loss weight is the share of pixels at least this sure, in [0, 1]
    options.CONFIDENCE_FLOOR = 0.968
    options.PRIOR_MOMENTUM = 0.99  # weight of the old class prior chi at each step, in [0, 1)
    options.THRESHOLD_UPPER = 0.75  # share of the peak confidence that a frequent class must reach (zeta), in [0, 1]
    options.THRESHOLD_LOWER = 0.2  # lowest threshold of a confidence, in [0, 1]
    options.THRESHOLD_BETA = 1e-3  # class prior at which the threshold begins to be discounted (beta), in (0, 1]
    options.FOCAL_POWER = 3.0  # exponent of (1 - chi) in the loss, >= 0; 0 = all classes alike


def _add_losses(cfg: CfgNode) -> None:
    options = cfg.MODEL.SELF_TRAINING
    options.CLASS_MIX = False  # paste half of a source image's classes on the student's views ([DACS])
    # weight of the loss on masked views relative to that on the others ([MIC]), see INPUT.MASK_RATIO, >= 0
    options.MASKED_WEIGHT = 1.0
    options.ENTROPY_WEIGHT = 0.0  # weight of the student's entropy on target images ([FDA]: .005), >= 0; 0 = off
    options.ENTROPY_POWER = 2.0  # eta of the Charbonnier penalty on it, > 0
