"""INSTANCE: the instance branch, its teacher, its pseudo instances and how embeddings are clustered."""

from __future__ import annotations

from detectron2.config import CfgNode


def add_instance_config(cfg: CfgNode) -> None:
    """Add the node in place."""
    cfg.INSTANCE = CfgNode()
    # thing class names per model; [] = one model for all (ALL). ICM = eight groups of one class; BASE and CCM =
    # three categories, where BASE starts all of them from one source model and CCM each from its own
    cfg.INSTANCE.GROUPS = []
    _add_teacher(cfg)
    _add_pseudo_instances(cfg)
    _add_consistency(cfg)
    _add_clustering(cfg)
    _add_mix(cfg)


def _add_teacher(cfg: CfgNode) -> None:
    cfg.INSTANCE.TARGET_WEIGHT = 1.0  # weight of the losses on pseudo instances after the ramp, >= 0
    # time over which the target weight grows linearly from 0, in iterations; 0 = no ramp
    cfg.INSTANCE.RAMP_ITERS = 1000
    # "frozen" (running statistics stay, affine terms are trained) or "target" (they follow the target images)
    cfg.INSTANCE.BN_STATS = "frozen"
    cfg.INSTANCE.EVALUATE = "student"  # which network predicts: "student" or "teacher"
    cfg.INSTANCE.TEACHER = "frozen"  # "frozen" (copied every REFRESH_INTERVAL) or "ema" (every iteration)
    cfg.INSTANCE.REFRESH_INTERVAL = 500  # time between two copies of student to frozen teacher, in iterations
    cfg.INSTANCE.EMA_DECAY = 0.999  # TEACHER "ema": weight of the old teacher per iteration, in [0, 1)


def _add_pseudo_instances(cfg: CfgNode) -> None:
    cfg.INSTANCE.MIN_MASK_AREA = 2e-3  # smallest class mask that is clustered, as a share of the image, in [0, 1]
    # smallest instance, in pseudo labels and predictions; labelled source instances of a smaller share of their crop
    # are ignored; as a share of the image, in [0, 1]
    cfg.INSTANCE.MIN_AREA = 5e-4
    cfg.INSTANCE.STABILITY = 0.6  # median IoU below which a pseudo instance is ignored, in [0, 1]
    cfg.INSTANCE.STABILITY_ANCHORS = 10  # anchors per instance of the stability test, >= 1
    # time during which detections (RECIPE.DETECTIONS_FROM) are the pseudo instances, before the teacher's own clusters
    # take over, in iterations; 0 = never
    cfg.INSTANCE.DETECTED_ITERS = 0


def _add_consistency(cfg: CfgNode) -> None:
    """CONSISTENCY_*: Dice between soft masks of student and teacher around the same anchors ([thesis], Eq. 7.10)."""
    cfg.INSTANCE.CONSISTENCY_WEIGHT = 0.0  # weight of the consistency loss ([thesis]: .1), >= 0; 0 = off
    # the teacher sees the image turned by an angle from U(0, x), in degrees, in [0, 180]; 0 = photometric noise only
    cfg.INSTANCE.CONSISTENCY_ROTATION = 180.0
    cfg.INSTANCE.CONSISTENCY_ANCHORS = 20  # anchors that are drawn at most, >= 1
    # part of the class mask that may stay uncovered when no more anchors are drawn, in [0, 1)
    cfg.INSTANCE.CONSISTENCY_REST = 0.05


def _add_clustering(cfg: CfgNode) -> None:
    """CLUSTER*: pseudo labels and predictions are clustered in the same way."""
    cfg.INSTANCE.CLUSTERING = "mean_shift_plus"  # "mean_shift_plus", "mean_shift" or "agglomerative"
    cfg.INSTANCE.CLUSTER_SAMPLES = 2048  # points of a class mask on which modes are searched, >= 1
    cfg.INSTANCE.CLUSTER_SEEDS = 128  # seeds of the mode search, "mean_shift_plus" only, >= 1
    # radius of plain mean-shift ("mean_shift"; [PanopticUNet]: DELTA_DIST), in embedding units; 0 = DELTA_VAR
    cfg.INSTANCE.CLUSTER_BANDWIDTH = 0.0


def _add_mix(cfg: CfgNode) -> None:
    # stage "instance_mix": folders of instance stages (.../instance_selftrain) among which each class chooses
    cfg.INSTANCE.MIX_FROM = []
    # "stability" (mean stability of the pseudo instances on target images, no label) or "oracle" (AP50 on
    # DATASETS.TEST, not domain adaptation)
    cfg.INSTANCE.MIX_BY = "stability"
