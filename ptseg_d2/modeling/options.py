"""Options of clustering and merging from a config."""

from __future__ import annotations

from ptseg_d2.data.datasets import classes_of
from ptseg_d2.inference.clusterers import Clustering
from ptseg_d2.inference.instance_grouping import PanopticOptions

from detectron2.config import CfgNode


def build_clustering(cfg: CfgNode) -> Clustering:
    """The clustering of INSTANCE.CLUSTER* at the radii of MODEL.EMBEDDING, for pseudo labels and predictions alike."""
    return Clustering(
        cfg.INSTANCE.CLUSTERING,
        delta_var=cfg.MODEL.EMBEDDING.DELTA_VAR,
        delta_dist=cfg.MODEL.EMBEDDING.DELTA_DIST,
        num_samples=cfg.INSTANCE.CLUSTER_SAMPLES,
        num_seeds=cfg.INSTANCE.CLUSTER_SEEDS,
        bandwidth=cfg.INSTANCE.CLUSTER_BANDWIDTH,
    )


def build_panoptic_options(cfg: CfgNode) -> PanopticOptions:
    """The things of the data sets, and sizes from INSTANCE."""
    return PanopticOptions(
        thing_ids=classes_of(cfg).thing_ids,
        min_thing_share=cfg.INSTANCE.MIN_AREA,
        min_stuff_share=cfg.EVAL.MIN_STUFF_AREA,
        opening=cfg.EVAL.OPENING,
        closing=cfg.EVAL.CLOSING,
    )
