"""Instances that a detector finds on the unlabelled target images: first pseudo instances of the embedding network.

`<folder>/index.json` lists, by image id, the file (16-bit PNG at the image's size, see
`ptseg_d2.detectors.detections.paint`), how many instances it holds, and the ids of images that could not be read.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ptseg_d2.data.dataset_dicts import load_dataset
from ptseg_d2.data.image_files import read_image, write_png
from ptseg_d2.detectors.detections import paint
from ptseg_d2.detectors.detector import Detector
from ptseg_d2.modeling.distributed import unwrap
from ptseg_d2.runs.image_folders import DETECTIONS, each_readable, replaced_folder

import numpy as np
from detectron2.config import CfgNode
from detectron2.utils import comm
from torch import nn

logger = logging.getLogger(__name__)


def predict_detections(cfg: CfgNode, model: nn.Module) -> None:
    """Detect the objects of every image of DATASETS.TARGET into OUTPUT_DIR/target_detections.

    Args:
        cfg: config of the detector's stage.
        model: the detector.
    """
    if comm.is_main_process():
        dicts = load_dataset(cfg.DATASETS.TARGET, "DATASETS.TARGET")
        detector = Detector(unwrap(model), cfg)
        folder = Path(cfg.OUTPUT_DIR) / DETECTIONS.parent
        write_detections(dicts, detector, folder, cfg.MODEL.DETECTOR.MIN_SCORE, cfg.INSTANCE.MIN_AREA)


def write_detections(
    dataset_dicts: Sequence[Mapping[str, Any]], detector: Detector, folder: Path, min_score: float, min_share: float
) -> dict[str, Any]:
    """Write the instances of images into a folder, which appears only when it is complete.

    Args:
        dataset_dicts: Detectron2's list of images; labels in it are not looked at.
        detector: finds them.
        folder: is replaced.
        min_score: less sure ones are left out, in [0, 1].
        min_share: likewise those of a smaller share of the image.

    Returns:
        The content of index.json.
    """
    images: dict[str, dict[str, Any]] = {}
    skipped: list[str] = []
    index = {"images": images, "skipped": skipped}
    readable = each_readable(
        dataset_dicts, lambda item: read_image(item["file_name"]), "detections on target images", skipped
    )
    with replaced_folder(folder) as partial:
        for number, (image_id, image) in enumerate(readable):
            found = detector.cityscapes(detector.outputs(image))
            ids = paint(found, min_score, round(min_share * image.shape[0] * image.shape[1])).numpy().astype(np.uint16)
            images[image_id] = {"mask": f"{number:06d}.png", "instances": len(np.unique(ids[ids > 0]))}
            write_png(partial / f"{number:06d}.png", ids)
        (partial / DETECTIONS.name).write_text(json.dumps(index), encoding="utf-8")
    logger.info("%d instances on %d target images", sum(entry["instances"] for entry in images.values()), len(images))
    return index
