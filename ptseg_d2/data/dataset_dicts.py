"""Detectron2's dataset dicts of a stage: which registered data sets, joined with which files of earlier stages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ptseg_d2.data.lists import keep_listed, list_files

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog


def source_dicts(cfg: CfgNode) -> list[tuple[str, list[dict[str, Any]]]]:
    """Data sets of DATASETS.SOURCE with their entries, without the images that DATASETS.LISTS leaves out."""
    lists = list_files(cfg.DATASETS.LISTS, cfg.DATASETS.SOURCE)
    _check_names(cfg.DATASETS.SOURCE, "DATASETS.SOURCE")
    parts = []
    for name in cfg.DATASETS.SOURCE:
        dicts = load_dataset((name,), "DATASETS.SOURCE")
        parts.append((name, keep_listed(dicts, name, lists[name]) if name in lists else dicts))
    return parts


def target_dicts(cfg: CfgNode) -> list[dict[str, Any]]:
    """DATASETS.TARGET, joined with the predicted masks, guidance and detections of earlier stages by image id."""
    dicts = load_dataset(cfg.DATASETS.TARGET, "DATASETS.TARGET")
    if cfg.INPUT.PREDICTED_MASKS:
        dicts = _with_files(dicts, cfg.INPUT.PREDICTED_MASKS, "predicted")
    if cfg.INPUT.GUIDANCE_MASKS:
        dicts = _with_files(dicts, cfg.INPUT.GUIDANCE_MASKS, "guidance")
    if cfg.INPUT.DETECTIONS:
        dicts = _with_files(dicts, cfg.INPUT.DETECTIONS, "detected")
    return dicts


def _with_files(dicts: list[dict[str, Any]], index_file: str, kind: str) -> list[dict[str, Any]]:
    """Entries with the mask that an index names for them; those of images that could not be read are left out.

    Args:
        dicts: entries of the target.
        index_file: index.json, see `ptseg_d2.engine.masks`.
        kind: "predicted" (classes, with their shares), "guidance" or "detected" (instances).
    """
    index = Path(index_file)
    if not index.exists():
        raise FileNotFoundError(
            f"{index} not found; run the stage that makes it (RECIPE.MASKS_FROM, or RECIPE.DETECTIONS_FROM for "
            "detections), or tools/predict_masks.py and set INPUT.PREDICTED_MASKS to the index.json that it writes"
        )
    content = json.loads(index.read_text(encoding="utf-8"))
    found = content["images"]
    dicts = [item for item in dicts if item["image_id"] not in content.get("skipped", [])]
    missing = [item["file_name"] for item in dicts if item["image_id"] not in found]
    if missing:
        raise ValueError(
            f"{index_file} has no mask of {missing[0]} and {len(missing) - 1} others: it was made "
            "for other DATASETS.TARGET. Delete the folder of that stage and run again."
        )
    joined = []
    for item in dicts:
        entry = found[item["image_id"]]
        shares = {"class_shares": entry["class_shares"]} if kind == "predicted" else {}
        joined.append({**item, f"{kind}_file_name": str(index.parent / entry["mask"]), **shares})
    return joined


def load_dataset(names: Sequence[str], key: str) -> list[dict[str, Any]]:
    """Registered data sets, concatenated.

    Raises:
        ValueError: no name is given, a name is not registered, or there is no image.
    """
    _check_names(names, key)
    dicts = [item for name in names for item in DatasetCatalog.get(name)]
    if not dicts:
        raise ValueError(f"{key} = {tuple(names)} holds no image")
    return dicts


def _check_names(names: Sequence[str], key: str) -> None:
    if not names:
        raise ValueError(f"{key} is empty: name at least one registered data set")
    unknown = [name for name in names if name not in DatasetCatalog.list()]
    if unknown:
        known = ", ".join(name for name in DatasetCatalog.list() if "labeled" in name)
        raise ValueError(f"{key}: data set {unknown[0]!r} is not registered; expected one of: {known}")
