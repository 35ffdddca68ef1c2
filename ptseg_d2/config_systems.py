"""Configuration keys of the systems beside the main recipe, one function for each."""

from __future__ import annotations

from detectron2.config import CfgNode


def add_systems_config(cfg: CfgNode) -> None:
    """Add these keys and their defaults to a config, in place."""
    _add_world(cfg)
    _add_repainting(cfg)
    _add_positions(cfg)


def _add_world(cfg: CfgNode) -> None:
    """Folders that a user brings, see `ptseg_d2.data.datasets.instance_folders`."""
    cfg.WORLD = CfgNode()
    cfg.WORLD.SOURCE = ""  # labelled folder: images/, and labels/ with a PNG of instance numbers per image; "" = none
    cfg.WORLD.TARGET = ""  # target folder: images/, and labels/ of the test images; "" = none
    cfg.WORLD.THING = "object"  # name of the one class of objects
    # share of the target images, the last ones by name, that are the test set, in (0, 1); the labels of the others are
    # never opened (but for data set folder_target_labeled_train). 0 = the test images are those with a label file
    cfg.WORLD.TEST_SHARE = 0.375


def _add_repainting(cfg: CfgNode) -> None:
    """Changes of source images that leave no trace of how they were recorded, before INPUT.SOURCE_STYLE; 0 = off."""
    cfg.INPUT.SOURCE_STRETCH = 0.0  # share of the source images whose values are spread over 0..255, in [0, 1]
    cfg.INPUT.SOURCE_INVERT = 0.0  # share of the source images that become their negative, in [0, 1]
    # share of the source images whose grey levels are drawn between two random colours, in [0, 1]
    cfg.INPUT.SOURCE_DUOTONE = 0.0


def _add_positions(cfg: CfgNode) -> None:
    # pixels that count as one image height in MODEL.EMBEDDING.POSITION_GAIN, for images of many sizes and crops of
    # them; 0 = each image's own height
    cfg.MODEL.EMBEDDING.POSITION_HEIGHT = 0.0
