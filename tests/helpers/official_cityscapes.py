"""The scripts of cityscapesscripts on files of a test, quiet and without files elsewhere."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from typing import Any
from unittest import mock

from ptseg_d2.classes.streets import CATEGORIES, THING_IDS

import cv2
import numpy as np
from cityscapesscripts.evaluation import evalInstanceLevelSemanticLabeling as instance_script
from cityscapesscripts.evaluation import evalPanopticSemanticLabeling as panoptic_script
from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as pixel_script
from cityscapesscripts.preparation.createPanopticImgs import convert2panoptic
from references_evaluation import Ids, Segments

LABEL_IDS = [category.label_id for category in CATEGORIES]


def write_instance_labels(folder: Path, name: str, gt_ids: Ids, gt_segments: Segments) -> str:
    """instanceIds of segments: groups and stuff have the label id, objects label id * 1000 + number."""
    instance_ids = np.zeros(gt_ids.shape, dtype=np.uint16)
    for segment in gt_segments:
        label_id = LABEL_IDS[segment["category_id"]]
        is_group = segment["iscrowd"] or segment["category_id"] not in THING_IDS
        instance_ids[gt_ids == segment["id"]] = label_id if is_group else 1000 * label_id + segment["id"]
    file = folder / f"{name}_gtFine_instanceIds.png"
    cv2.imwrite(str(file), instance_ids)
    return str(file)


def write_instance_predictions(folder: Path, name: str, pred_ids: Ids, pred_segments: Segments) -> str:
    """The list and the masks of an image as the instance script reads them."""
    lines = []
    for segment in pred_segments:
        mask_name = f"{name}_{segment['id']}.png"
        cv2.imwrite(str(folder / mask_name), (pred_ids == segment["id"]).astype(np.uint8) * 255)
        lines.append(f"{mask_name} {LABEL_IDS[segment['category_id']]} {segment['score']!r}")
    file = folder / f"{name}.txt"
    file.write_text("\n".join(lines))
    return str(file)


def official_instance_scores(
    folder: Path, predictions: list[str], ground_truths: list[str], min_region_size: int
) -> dict[str, Any]:
    """Averages of the instance-level script, as fractions."""
    args = instance_script.args
    args.quiet, args.JSONOutput, args.predictionPath = True, False, str(folder)
    args.gtInstancesFile = str(folder / "gtInstances.json")
    args.minRegionSizes = np.array([min_region_size, 1000, 1000])
    before = os.getcwd()
    os.chdir(folder)  # the script writes matches.json where it runs
    try:
        with mock.patch.object(np, "in1d", np.isin, create=True):  # gone from newer NumPy
            results = instance_script.evaluateImgLists(predictions, ground_truths, args)
    finally:
        os.chdir(before)
    averages: dict[str, Any] = results["averages"]
    return averages


def official_pixel_scores(predictions: list[str], ground_truths: list[str]) -> dict[str, Any]:
    """Results of the pixel-level script, as fractions."""
    args = pixel_script.args
    args.quiet, args.JSONOutput, args.evalInstLevelScore, args.evalPixelAccuracy = True, False, False, False
    results: dict[str, Any] = pixel_script.evaluateImgLists(predictions, ground_truths, args)
    return results


def official_panoptic_scores(gt_folder: Path, pred_json: Path, pred_folder: Path) -> dict[str, Any]:
    """Results of the panoptic script, as fractions, with the ground truth of its own converter.

    Args:
        gt_folder: gtFine, with val/CITY/*_gtFine_instanceIds.png.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        convert2panoptic(str(gt_folder), str(gt_folder), useTrainId=False, setNames=["val"])
        truth = gt_folder / "cityscapes_panoptic_val"
        results: dict[str, Any] = panoptic_script.evaluatePanoptic(
            f"{truth}.json", str(truth), str(pred_json), str(pred_folder), str(gt_folder / "results.json")
        )
    return results
