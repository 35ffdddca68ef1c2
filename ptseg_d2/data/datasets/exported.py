"""An exported ground truth as a data set of Detectron2's, for its panoptic evaluator and loaders.

Layout: ``<folder>/gt.json`` and ``<folder>/gt/*.png`` as `ptseg_d2.evaluation.coco_panoptic` writes them. Detectron2's
own `load_coco_panoptic_json` reads the same files where image ids are numbers and images are .jpg, as in COCO.
"""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

from ptseg_d2.classes.streets import CITYSCAPES
from ptseg_d2.classes.tables import ClassTable
from ptseg_d2.data.datasets.metadata import panoptic_metadata

from detectron2.data import DatasetCatalog, MetadataCatalog

EXPORT_FIX = "Create it with tools/export_coco_panoptic.py on a data set with labels"


def register_exported_panoptic(
    name: str,
    folder: str | os.PathLike[str],
    image_root: str | os.PathLike[str] | None = None,
    classes: ClassTable = CITYSCAPES,
) -> None:
    """Register an exported folder, such as OUTPUT_DIR/coco_panoptic, so that Detectron2's evaluator compares with it:

        register_exported_panoptic("my_val", "output/miniscapes/coco_panoptic")
        COCOPanopticEvaluator("my_val")

    Args:
        name: of the new data set.
        folder: with gt.json and gt/.
        image_root: folder with the photographs, at any depth; needed to load the data set, not to evaluate.
        classes: of the data set that was exported.

    Raises:
        FileNotFoundError: there is no gt.json.
    """
    json_file = _gt_json(folder)
    DatasetCatalog.register(name, partial(load_exported_panoptic, folder, image_root, classes))
    MetadataCatalog.get(name).set(
        **{**panoptic_metadata(classes), "evaluator_type": "coco_panoptic_seg"},
        panoptic_json=str(json_file),
        panoptic_root=str(Path(folder) / "gt"),
        image_root=None if image_root is None else str(image_root),
    )


def load_exported_panoptic(
    folder: str | os.PathLike[str], image_root: str | os.PathLike[str] | None, classes: ClassTable = CITYSCAPES
) -> list[dict[str, Any]]:
    """Entries of an exported folder; no picture is opened.

    Args:
        folder: with gt.json and gt/.
        image_root: folder with the photographs, at any depth.
        classes: of the data set that was exported.

    Returns:
        Detectron2 dicts with file_name, image_id, height, width, pan_seg_file_name and segments_info, whose category_id
        is a train id, with isthing.

    Raises:
        FileNotFoundError: gt.json or a photograph is missing.
        ValueError: no image_root is given, or two photographs below it have the same name.
    """
    content = json.loads(_gt_json(folder).read_text(encoding="utf-8"))
    photographs = _find_photographs({image["file_name"] for image in content["images"]}, image_root)
    images = {image["id"]: image for image in content["images"]}
    train_ids = {label_id: train_id for train_id, label_id in classes.label_ids.items()}
    dicts = []
    for annotation in content["annotations"]:
        image = images[annotation["image_id"]]
        segments = []
        for segment in annotation["segments_info"]:
            category = train_ids[segment["category_id"]]
            segments.append({**segment, "category_id": category, "isthing": category in classes.thing_ids})
        dicts.append(
            {
                "file_name": str(photographs[image["file_name"]]),
                "image_id": image["id"],
                "height": image["height"],
                "width": image["width"],
                "pan_seg_file_name": str(Path(folder) / "gt" / annotation["file_name"]),
                "segments_info": segments,
            }
        )
    return dicts


def _gt_json(folder: str | os.PathLike[str]) -> Path:
    path = Path(folder) / "gt.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path} not found. {EXPORT_FIX}.")
    return path


def _find_photographs(names: set[str], image_root: str | os.PathLike[str] | None) -> dict[str, Path]:
    """Name -> path of the photographs below a folder."""
    if image_root is None:
        raise ValueError("an export holds no photographs: register it with the image_root in which they lie")
    found: dict[str, Path] = {}
    for path in sorted(path for path in Path(image_root).rglob("*") if path.name in names):
        if path.name in found:
            raise ValueError(f"{found[path.name]} and {path} have the same name: choose an image_root with one of them")
        found[path.name] = path
    missing = sorted(names - found.keys())
    if missing:
        raise FileNotFoundError(f"{missing[0]} ({len(missing)} of {len(names)} photographs) not found in {image_root}")
    return found
