"""Detectors trained elsewhere, above all on COCO, evaluated on COCO-format data and on street scenes.

An image that cannot be read is named, and the others are evaluated.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ptseg_d2.classes.streets import CITYSCAPES
from ptseg_d2.data.dataset_dicts import load_dataset
from ptseg_d2.data.datasets import classes_of_dataset
from ptseg_d2.data.image_files import read_image
from ptseg_d2.detectors.coco_instances import CocoScores
from ptseg_d2.detectors.detections import Detections
from ptseg_d2.detectors.detector import Detector
from ptseg_d2.detectors.mask_overlap import count_mask_overlap
from ptseg_d2.errors import DataError
from ptseg_d2.evaluation.ground_truth import GroundTruth, GroundTruthCache
from ptseg_d2.evaluation.instance_ap import InstanceAP

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

logger = logging.getLogger(__name__)

Image = NDArray[np.uint8]
Look = Callable[[int, Image, GroundTruth, Detections], None]
"""Position of an image, its pixels, truth and detections."""


def evaluate_on_coco(detector: Detector, dataset_name: str) -> dict[str, Any]:
    """COCO's AP on a data set with COCO annotations.

    Returns:
        bbox and segm -> metric -> percent; images, seconds_per_image, unreadable (messages), classes_not_predicted.

    Raises:
        ValueError: no class in common, no image, or none that can be read.
    """
    dicts = _load_coco(dataset_name)
    scores = CocoScores(dataset_name, detector.class_names)
    progress = _Progress()
    for _, item, image in progress.images(dicts, dataset_name):
        scores.add(item, progress.timed(detector.outputs, image))
    return {**scores.compute(), **progress.facts(), "classes_not_predicted": scores.unknown}


def _load_coco(dataset_name: str) -> list[dict[str, Any]]:
    if "json_file" not in MetadataCatalog.get(dataset_name).as_dict():
        raise ValueError(
            f"--coco {dataset_name} has no annotations in COCO's format: make them with tools/export_coco_instances.py "
            "--dataset and give --coco-json and --coco-images"
        )
    try:
        return load_dataset((dataset_name,), "--coco")
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"the annotations of {dataset_name} are missing ({error}). Put COCO below $DETECTRON2_DATASETS, see "
            "datasets/README.md, or give --coco-json and --coco-images"
        ) from error


def evaluate_on_cityscapes(
    detector: Detector, dataset_name: str, rules: Mapping[str, bool], look: Look | None = None
) -> dict[str, Any]:
    """Official Cityscapes AP of the 8 classes on a labelled data set with its classes.

    Args:
        detector: of any classes that `train_ids_of` knows.
        dataset_name: registered, with labels.
        rules: name -> whether persons on two wheels become riders; each is scored on the same outputs.
        look: sees every image with the detections of the last rule.

    Returns:
        scores: rule -> as from `InstanceAP.compute`; images, seconds_per_image, unreadable (messages).

    Raises:
        ValueError: the data set has no labels, no image, or none that can be read.
    """
    dicts = load_dataset((dataset_name,), "--cityscapes")
    if "label_format" not in dicts[0]:
        raise ValueError(f"--cityscapes {dataset_name} has no labels; use its labelled twin")
    names = classes_of_dataset(dataset_name).names
    if names != CITYSCAPES.names:
        raise ValueError(f"--cityscapes {dataset_name} has other classes than Cityscapes: {', '.join(names)}")
    totals = {name: InstanceAP(CITYSCAPES.names, CITYSCAPES.thing_ids) for name in rules}
    truths = GroundTruthCache()
    progress = _Progress()
    for position, item, image in progress.images(dicts, dataset_name):
        try:
            truth = truths.read(item)
        except (DataError, OSError) as error:
            progress.leave_out(error)
            continue
        outputs = progress.timed(detector.outputs, image)
        for name, riders in rules.items():
            found = detector.cityscapes(outputs, riders)
            arrays = (found.masks.numpy(), found.classes.numpy(), found.scores.numpy())
            totals[name].add(count_mask_overlap(*arrays, truth.ids, truth.segments))
        if look is not None:
            look(position, image, truth, found)
    facts = progress.facts()  # first: they say if there is no image
    return {"scores": {name: total.compute() for name, total in totals.items()}, **facts}


def detector_scores(network: nn.Module, cfg: CfgNode, dataset_name: str) -> dict[str, Any]:
    """The row "detector" of results.json: its own masks, which may overlap and which no class mask guides.

    Args:
        network: a trained detector.
        cfg: its config.
        dataset_name: labelled data set.
    """
    detector = Detector(network, cfg)
    scores: dict[str, Any] = evaluate_on_cityscapes(detector, dataset_name, {"": detector.riders})["scores"][""]
    return scores


class _Progress:
    """Reads the images of a data set one by one, times the detector, and remembers what could not be read."""

    def __init__(self) -> None:
        self.unreadable: list[str] = []
        self.seconds: list[float] = []
        self.dataset_name = ""

    def images(self, dicts: Sequence[dict[str, Any]], dataset_name: str) -> Iterator[tuple[int, dict[str, Any], Image]]:
        """Position, entry and pixels of the images that can be read."""
        self.dataset_name = dataset_name
        for position, item in enumerate(tqdm(dicts, desc=Path(dataset_name).name, unit="image")):
            try:
                image = read_image(item["file_name"])
            except (DataError, OSError) as error:
                self.leave_out(error)
                continue
            yield position, item, image

    def leave_out(self, error: Exception) -> None:
        """Remember what is wrong with an image."""
        logger.warning("Left out: %s", error)
        self.unreadable.append(str(error))

    def timed(self, work: Callable[[Image], Any], image: Image) -> Any:
        """The result of `work` on an image, whose seconds are noted."""
        start = time.perf_counter()
        result = work(image)
        self.seconds.append(time.perf_counter() - start)
        return result

    def facts(self) -> dict[str, Any]:
        """Images, seconds and messages; a ValueError if there was no image."""
        if not self.seconds:
            what = f"none of the {len(self.unreadable)} images of {self.dataset_name} can be read"
            raise ValueError(f"{what}: {self.unreadable[0]}")
        mean = float(np.mean(self.seconds))
        return {"images": len(self.seconds), "seconds_per_image": round(mean, 4), "unreadable": self.unreadable}
