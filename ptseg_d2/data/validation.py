"""Labelled images that decide when training stops: whole, and the same each time. H x W pixels."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

from ptseg_d2.data.augmentation import warp_image, warp_labels
from ptseg_d2.data.dataset_dicts import load_dataset
from ptseg_d2.data.geometry import scaling
from ptseg_d2.data.mappers import decode, to_tensor, where_from
from ptseg_d2.errors import DataError

import numpy as np
import torch
from detectron2.config import CfgNode

logger = logging.getLogger(__name__)


def validation_dicts(cfg: CfgNode) -> list[dict[str, Any]]:
    """Entries of DATASETS.VALIDATION.

    Raises:
        ValueError: they hold labels of the target, which may not decide when training stops; only an oracle's may.
    """
    dicts = load_dataset(cfg.DATASETS.VALIDATION, "DATASETS.VALIDATION")
    if cfg.EVAL.SUPERVISED_ROW != "oracle" and any(item["domain"] == "target" for item in dicts):
        raise ValueError(
            f"DATASETS.VALIDATION = {tuple(cfg.DATASETS.VALIDATION)} holds labels of the target domain, which no "
            "training may see: name labelled source images, or leave it empty (EVAL.SUPERVISED_ROW oracle is for "
            "runs that are no domain adaptation)"
        )
    return dicts


def validation_batches(cfg: CfgNode, dicts: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Labelled images as test images are seen, SOLVER.SOURCE_PER_BATCH at once; nothing is random.

    That is at INPUT.TEST_SIZE. Without one they have INPUT.CROP_SIZE, to which INPUT.SOURCE_FIT stretches them. An
    unusable image is left out with a warning, as in training.

    Raises:
        DataError: none can be used.
    """
    size_hw = tuple(cfg.INPUT.TEST_SIZE or cfg.INPUT.CROP_SIZE)
    mapper = ValidationMapper(size_hw, fit=bool(cfg.INPUT.TEST_SIZE) or cfg.INPUT.SOURCE_FIT)
    batch: list[dict[str, Any]] = []
    num_images = 0
    for item in dicts:
        try:
            batch.append(mapper(item))
        except (DataError, OSError) as error:
            logger.warning("Skipping a validation image: %s", error)
            continue
        num_images += 1
        if len(batch) == cfg.SOLVER.SOURCE_PER_BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
    if num_images == 0:
        raise DataError(f"none of {len(dicts)} images of DATASETS.VALIDATION can be used; the warnings above say why")


class ValidationMapper:
    """A labelled image as it is, stretched to one size: what `SourceMapper` gives, without randomness."""

    def __init__(self, size: tuple[int, int], fit: bool) -> None:
        """
        Args:
            size: (height, width) of the result.
            fit: stretch the image to it; False = its own size, cut or filled up around the middle.
        """
        self.size = size
        self.fit = fit

    def __call__(self, dataset_dict: dict[str, Any]) -> dict[str, Any]:
        """`image`, `sem_seg` and `instance_ids`."""
        image, sem_seg, instance_ids = decode(dataset_dict)
        height, width = sem_seg.shape
        if self.fit:
            affine = scaling(self.size[0] / height, self.size[1] / width)[:2]
        else:
            affine = np.array([[1.0, 0.0, (self.size[1] - width) // 2], [0.0, 1.0, (self.size[0] - height) // 2]])
        return {
            "image": to_tensor(warp_image(image, affine, self.size)),
            "sem_seg": torch.from_numpy(warp_labels(sem_seg, affine, self.size)),
            "instance_ids": torch.from_numpy(warp_labels(instance_ids, affine, self.size, outside=-1)),
            **where_from(dataset_dict, self.size),
        }
