"""DATASETS, DATALOADER and WORLD: which images."""

from __future__ import annotations

from detectron2.config import CfgNode


def add_data_config(cfg: CfgNode) -> None:
    """Add the keys in place."""
    cfg.DATASETS.SOURCE = ()  # labelled data sets; several are concatenated
    cfg.DATASETS.TARGET = ()  # unlabelled data sets; no label of them is ever opened
    # labelled data sets whose loss decides when training stops; () = it runs to SOLVER.MAX_ITER
    cfg.DATASETS.VALIDATION = ()
    # keep only the listed images of labelled sets: (data set, text file with one image id per line) pairs
    cfg.DATASETS.LISTS = []

    cfg.DATALOADER.CACHE_MB = 0  # memory for decoded images per stream and loading process, in MiB; 0 = none

    _add_world(cfg)


def _add_world(cfg: CfgNode) -> None:
    """Folders that a user brings, see `ptseg_d2.data.datasets.instance_folders`."""
    cfg.WORLD = CfgNode()
    cfg.WORLD.SOURCE = ""  # labelled folder: images/, and labels/ with a PNG of instance numbers per image; "" = none
    cfg.WORLD.TARGET = ""  # target folder: images/, and labels/ of the test images; "" = none
    cfg.WORLD.THING = "object"  # name of the one class of objects
    # the last of the target images by name that are the test set, whose labels alone are opened (but for data set
    # folder_target_labeled_train), as a share of them, in (0, 1); 0 = the test images are those with a label file
    cfg.WORLD.TEST_SHARE = 0.375
