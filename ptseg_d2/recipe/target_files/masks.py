"""Class masks that a semantic network predicts on the unlabelled target images, kept for later stages.

`<folder>/index.json` lists, by image id, the mask file (8-bit PNG of train ids at the image's size, 255 = unsure) and
the share of its pixels in each class, and the ids of images that could not be read. The shares are the importance
weights by which self-training draws target images.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ptseg_d2.classes.tables import VOID
from ptseg_d2.data.class_pixels import count_pixels
from ptseg_d2.data.dataset_dicts import load_dataset, target_dicts
from ptseg_d2.data.datasets import classes_of
from ptseg_d2.data.image_files import write_png
from ptseg_d2.data.mappers import TestMapper
from ptseg_d2.modeling.distributed import unwrap
from ptseg_d2.pseudo_labels.multi_band import LEVELS, ConfidenceQuantiles
from ptseg_d2.runs.image_folders import MASKS, each_readable, replaced_folder
from ptseg_d2.stages import StageRun

import cv2
import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.utils import comm
from numpy.typing import NDArray
from torch import nn


def predict_masks(cfg: CfgNode, model: nn.Module) -> None:
    """Predict every image of DATASETS.TARGET into OUTPUT_DIR/target_masks.

    Args:
        cfg: config of the stage.
        model: predicts {"sem_seg": (C, height, width)} in evaluation mode, Detectron2's protocol.
    """
    if comm.is_main_process():
        dicts = load_dataset(cfg.DATASETS.TARGET, "DATASETS.TARGET")
        write_masks(dicts, unwrap(model), Path(cfg.OUTPUT_DIR) / MASKS.parent)


def write_masks(
    dataset_dicts: Sequence[Mapping[str, Any]],
    network: nn.Module,
    folder: Path,
    quantiles: ConfidenceQuantiles | None = None,
) -> dict[str, Any]:
    """Predict images into a folder, which appears only when it is complete.

    Args:
        dataset_dicts: Detectron2's list of images.
        network: predicts {"sem_seg": (C, height, width)}; probabilities if `quantiles` are given.
        folder: is replaced.
        quantiles: keeps the confident pixels of each class, the others become 255; None keeps all.

    Returns:
        The content of index.json.
    """
    with replaced_folder(folder) as partial:
        index = _write_masks(dataset_dicts, network, partial, quantiles)
        (partial / MASKS.name).write_text(json.dumps(index), encoding="utf-8")
    return index


def _write_masks(
    dataset_dicts: Sequence[Mapping[str, Any]],
    network: nn.Module,
    folder: Path,
    quantiles: ConfidenceQuantiles | None,
) -> dict[str, Any]:
    masks: dict[str, Path] = {}
    shares: dict[str, list[float]] = {}
    skipped: list[str] = []
    num_classes = 0
    for number, (image_id, prediction) in enumerate(_predictions(dataset_dicts, network, skipped)):
        masks[image_id] = folder / f"{number:06d}.png"
        confidence, labels = prediction.max(dim=0)
        num_classes = len(prediction)
        sem_seg = labels.to(torch.uint8).cpu().numpy()
        write_png(masks[image_id], sem_seg)
        shares[image_id] = _class_shares(sem_seg, num_classes)
        if quantiles is not None:
            levels = (confidence * LEVELS).round().cpu().numpy().astype(np.uint16)
            quantiles.update(sem_seg, levels)
            write_png(_confidence_file(masks[image_id]), levels)
    if quantiles is not None:
        thresholds = quantiles.thresholds()
        shares = {i: _class_shares(_keep_confident(path, thresholds), num_classes) for i, path in masks.items()}
    images = {image_id: {"mask": path.name, "class_shares": shares[image_id]} for image_id, path in masks.items()}
    return {"images": images, "skipped": skipped}


@torch.no_grad()
def _predictions(
    dataset_dicts: Sequence[Mapping[str, Any]], network: nn.Module, skipped: list[str]
) -> Iterator[tuple[str, torch.Tensor]]:
    """Image ids with their (C, height, width) predictions; ids of unreadable images are appended to `skipped`."""
    network.eval()
    mapper = TestMapper()
    readable = each_readable(dataset_dicts, lambda item: mapper(dict(item)), "masks of target images", skipped)
    for image_id, image in readable:
        yield image_id, network([image])[0]["sem_seg"]


def _keep_confident(mask: Path, thresholds: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Set pixels below the threshold of their class to 255, remove the confidence file, and return the new mask.

    Args:
        mask: mask file; the 16-bit PNG beside it holds its levels, round(LEVELS * probability) per pixel.
        thresholds: (C,) smallest level that is kept of each class.
    """
    sem_seg, levels = (_read_png(file) for file in (mask, _confidence_file(mask)))
    kept = np.where(levels >= thresholds[sem_seg], sem_seg, VOID).astype(np.uint8)
    write_png(mask, kept)
    _confidence_file(mask).unlink()
    return kept


def _class_shares(sem_seg: NDArray[np.uint8], num_classes: int) -> list[float]:
    """Share of the pixels of a mask in each class."""
    counts = count_pixels(sem_seg, num_classes)
    shares: list[float] = (counts / sem_seg.size).tolist()
    return shares


def _confidence_file(mask: Path) -> Path:
    return mask.with_name(f"confidence_{mask.name}")


def _read_png(path: Path) -> NDArray[Any]:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None, path  # written a moment ago
    return image


def predicted_share(run: StageRun) -> float:
    """Mean share of the target images' pixels that were predicted as a class of the run's group."""
    shares = np.array([item["class_shares"] for item in target_dicts(run.cfg, run.inputs)])
    classes = classes_of(run.cfg)
    ids = classes.ids(run.inputs.group) if run.inputs.group else classes.thing_ids
    return float(shares[:, ids].sum(axis=1).mean())
