"""Class masks that a semantic network predicts on the unlabelled target images, kept for later stages.

`<stage>/target_masks/index.json` lists, by image id, the mask file (8-bit PNG of train ids at the image's size) and the
share of its pixels in each class, and the ids of images that could not be read.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from pathlib import Path

from ptseg_d2.data.categories import NUM_CLASSES, THING_IDS, class_ids
from ptseg_d2.data.image_files import DataError
from ptseg_d2.data.mappers import TestMapper
from ptseg_d2.data.streams import load_dataset, target_dicts
from ptseg_d2.engine.hooks import unwrap

import cv2
import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.utils import comm
from torch import nn
from tqdm import tqdm

logger = logging.getLogger(__name__)

MASKS = Path("target_masks") / "index.json"
"""Below the folder of the stage that predicted them."""


@torch.no_grad()
def predict_masks(cfg: CfgNode, model: nn.Module) -> None:
    """Predict every image of DATASETS.TARGET; the folder appears only when it is complete.

    Args:
        cfg: config of the stage, whose OUTPUT_DIR gets the folder.
        model: predicts {"sem_seg": (C, height, width)} in evaluation mode, Detectron2's protocol.
    """
    if not comm.is_main_process():
        return
    folder = Path(cfg.OUTPUT_DIR) / MASKS.parent
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    network = unwrap(model).eval()
    mapper = TestMapper()
    images, skipped = {}, []
    dicts = load_dataset(cfg.DATASETS.TARGET, "DATASETS.TARGET")
    for number, item in enumerate(tqdm(dicts, desc="masks of target images", unit="image")):
        try:
            image = mapper(item)
        except (DataError, OSError) as error:
            logger.warning("Skipping a target image: %s", error)
            skipped.append(item["image_id"])
            continue
        sem_seg = network([image])[0]["sem_seg"].argmax(dim=0).to(torch.uint8).cpu().numpy()
        name = f"{number:06d}.png"
        if not cv2.imwrite(str(partial / name), sem_seg):
            raise OSError(f"could not write {partial / name}")
        counts = np.bincount(sem_seg.ravel(), minlength=NUM_CLASSES)
        images[item["image_id"]] = {"mask": name, "class_shares": (counts / sem_seg.size).tolist()}
    (partial / MASKS.name).write_text(json.dumps({"images": images, "skipped": skipped}), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)


def predicted_share(cfg: CfgNode) -> float:
    """Mean share of the target images' pixels that were predicted as a class of INSTANCE.GROUP."""
    shares = np.array([item["class_shares"] for item in target_dicts(cfg)])
    ids = class_ids(cfg.INSTANCE.GROUP) if cfg.INSTANCE.GROUP else THING_IDS
    return float(shares[:, ids].sum(axis=1).mean())
