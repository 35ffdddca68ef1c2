"""RECIPE: which stages run, and what each starts from."""

from __future__ import annotations

from detectron2.config import CfgNode


def add_recipe_config(cfg: CfgNode) -> None:
    """Add the node in place."""
    cfg.RECIPE = CfgNode()
    # what this config does, a stage such as semantic_source or instance_selftrain; also its sub-folder of OUTPUT_DIR;
    # "" = it only evaluates
    cfg.RECIPE.STAGE = ""
    # config files of the earlier stages, the first one first, relative to this file
    cfg.RECIPE.NEEDS = []
    # folder with the stages that this config needs, made there or shared with other configs; "" = OUTPUT_DIR
    cfg.RECIPE.NEEDS_DIR = ""
    # config file whose keys hold for every semantic stage of the recipe, relative to this file: another network
    # without a copy of each stage's file; "" = none
    cfg.RECIPE.SEMANTIC_NETWORK = ""
    # stage whose final weights this stage starts from; "" = MODEL.WEIGHTS or random
    cfg.RECIPE.INIT_FROM = ""
    cfg.RECIPE.INIT_BACKBONE_ONLY = False  # take the backbone alone: that stage trained another head
    # stage whose predicted masks of the target images guide this one; "" = none
    cfg.RECIPE.MASKS_FROM = ""
    # stage whose detections on the target images are the first pseudo instances of this one; "" = none
    cfg.RECIPE.DETECTIONS_FROM = ""
    _add_rounds(cfg)


def _add_rounds(cfg: CfgNode) -> None:
    # rounds of semantic and instance self-training, each from the last ([thesis], future work), which end by themselves
    # when the agreement of student and teacher, which needs no label, stops rising; >= 1
    cfg.RECIPE.ROUNDS = 1
    # instance masks laid over the semantic pseudo labels from the second round on ([thesis], 9.5): "predicted" by
    # the round before, "none", or "ground_truth", which reads labels of the target and is no domain adaptation
    cfg.RECIPE.GUIDANCE = "predicted"
    cfg.RECIPE.ORACLE_GUIDANCE = ""  # GUIDANCE "ground_truth": labelled twin of DATASETS.TARGET; "" = none
    cfg.RECIPE.ORACLE_GUIDANCE_SHARE = 0.3  # random share of its instances that is laid over, in (0, 1]
    cfg.RECIPE.AGREEMENT_IMAGES = 50  # target images on which the agreement is measured, >= 1
