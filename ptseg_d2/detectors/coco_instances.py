"""Our labelled data sets as a COCO-format instance folder, and COCO's box and mask AP of a detector on such a folder.

COCO's numbers are pycocotools' through Detectron2's `COCOEvaluator`.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ptseg_d2.classes.streets import CITYSCAPES
from ptseg_d2.classes.tables import ClassTable
from ptseg_d2.data.labels import read_labels
from ptseg_d2.errors import DataError

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import load_coco_json
from detectron2.evaluation import COCOEvaluator
from pycocotools import mask as mask_api
from tqdm import tqdm

logger = logging.getLogger(__name__)

METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl")
TASKS = ("bbox", "segm")


def coco_instances(
    dataset_dicts: Sequence[Mapping[str, Any]], image_root: Path, classes: ClassTable = CITYSCAPES
) -> tuple[dict[str, Any], list[str]]:
    """Content of an instances.json: one annotation per object, a crowd for what nobody told apart.

    Args:
        dataset_dicts: entries of a labelled data set.
        image_root: file names are relative to this folder.
        classes: of the data set.

    Returns:
        the content, whose category ids are label ids, and what is wrong with files that were left out.
    """
    things = [c for c in classes.categories if c.is_thing]
    content: dict[str, Any] = {
        "info": {"description": "instances in COCO's format, made by tools/export_coco_instances.py"},
        "categories": [{"id": c.label_id, "name": c.name, "supercategory": "object"} for c in things],
        "images": [],
        "annotations": [],
    }
    failures: list[str] = []
    for item in tqdm(dataset_dicts, desc="labels", unit="image"):
        try:
            labels = read_labels(item)
        except (DataError, OSError) as error:
            failures.append(str(error))
            continue
        number = len(content["images"]) + 1
        height, width = labels.sem_seg.shape
        name = Path(item["file_name"]).absolute().relative_to(image_root.absolute()).as_posix()
        content["images"].append({"id": number, "file_name": name, "height": height, "width": width})
        for category in things:
            mine = labels.sem_seg == category.train_id
            for instance in np.unique(labels.instance_ids[mine]):
                if instance == 0:
                    continue
                annotation = _annotation(mine & (labels.instance_ids == instance), iscrowd=int(instance < 0))
                where = {"id": len(content["annotations"]) + 1, "image_id": number, "category_id": category.label_id}
                content["annotations"].append({**where, **annotation})
    return content, failures


def _annotation(mask: np.ndarray[Any, np.dtype[np.bool_]], iscrowd: int) -> dict[str, Any]:
    """Run lengths, area and box (x, y, width, height) of a (H, W) mask that is not empty."""
    rle = mask_api.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {
        "segmentation": {"size": rle["size"], "counts": rle["counts"].decode("ascii")},
        "area": int(mask_api.area(rle)),
        "bbox": mask_api.toBbox(rle).tolist(),
        "iscrowd": iscrowd,
    }


def register_coco_folder(json_file: str | os.PathLike[str], image_root: str | os.PathLike[str]) -> str:
    """Register a COCO-format folder under a name made of its files; returns the name.

    Raises:
        FileNotFoundError: the file or the folder is missing.
        ValueError: the file is no COCO instance file.
    """
    path, root = Path(json_file), Path(image_root)
    if not path.is_file() or not root.is_dir():
        raise FileNotFoundError(f"{path if not path.is_file() else root} not found; give --coco-json and --coco-images")
    check_coco_json(path)
    name = f"coco:{path.absolute()}@{root.absolute()}"
    if name not in DatasetCatalog.list():
        DatasetCatalog.register(name, lambda: load_coco_json(str(path), str(root), name))
        MetadataCatalog.get(name).set(json_file=str(path), image_root=str(root), evaluator_type="coco")
    return name


def check_coco_json(path: Path) -> None:
    """Raise a ValueError that says what a file lacks to be COCO's instance annotations.

    Args:
        path: the JSON file.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is no JSON file ({error})") from error
    keys = ("images", "annotations", "categories")
    missing = [key for key in keys if not isinstance(content, dict) or not isinstance(content.get(key), list)]
    if missing:
        raise ValueError(f"{path} has no list {missing[0]!r}; COCO's instance files have {', '.join(keys)}")
    wanted = (
        ("images", ("id", "file_name", "height", "width")),
        ("annotations", ("id", "image_id", "category_id", "bbox", "area", "iscrowd", "segmentation")),
        ("categories", ("id", "name")),
    )
    for key, names in wanted:
        for entry in content[key]:
            absent = [name for name in names if name not in entry]
            if absent:
                raise ValueError(f"{path}: an entry of {key!r} has no {absent[0]!r}: {json.dumps(entry)[:200]}")
        ids = [entry["id"] for entry in content[key]]
        if len(set(ids)) < len(ids):
            raise ValueError(f"{path}: two entries of {key!r} have the id {max(ids, key=ids.count)}")
    if not content["images"]:
        raise ValueError(f"{path} lists no image")


class CocoScores:
    """Box and mask AP of one detector on a data set with COCO annotations."""

    def __init__(self, dataset_name: str, class_names: Sequence[str]) -> None:
        """
        Args:
            dataset_name: registered, with `json_file` in its metadata; loaded before.
            class_names: of the detector's outputs, in their order.

        Raises:
            ValueError: detector and data set have no class name in common.
        """
        theirs: list[str] = MetadataCatalog.get(dataset_name).thing_classes
        self.unknown = [name for name in theirs if name not in class_names]
        if len(self.unknown) == len(theirs):
            raise ValueError(
                f"the detector's classes ({', '.join(list(class_names)[:6])}, ...) and those of {dataset_name} "
                f"({', '.join(theirs[:6])}, ...) have no name in common"
            )
        self._category = np.array([theirs.index(n) if n in theirs else -1 for n in class_names], dtype=np.int64)
        self._evaluator = COCOEvaluator(dataset_name, TASKS, distributed=False, use_fast_impl=False)
        self._evaluator.reset()
        self._image_ids: list[Any] = []
        self._num_detections = 0

    def add(self, dataset_dict: Mapping[str, Any], instances: Any) -> None:
        """Add an image; outputs without a class in the data set are left out.

        Args:
            dataset_dict: its entry.
            instances: Detectron2's, on the CPU, `pred_classes` being numbers of the detector's outputs.
        """
        categories = self._category[instances.pred_classes.numpy()]
        known = instances[np.flatnonzero(categories >= 0)]
        known.pred_classes = instances.pred_classes.new_tensor(categories[categories >= 0])
        self._evaluator.process([dataset_dict], [{"instances": known}])
        self._image_ids.append(dataset_dict["image_id"])
        self._num_detections += len(known)

    def compute(self) -> dict[str, dict[str, float | None]]:
        """ "bbox" and "segm" -> AP, AP50, AP75, APs, APm, APl in percent over the images that were added.

        None where there is no object of that size; all 0 if nothing was detected in any image.
        """
        if self._num_detections == 0:
            return {task: dict.fromkeys(METRICS, 0.0) for task in TASKS}
        found = self._evaluator.evaluate(img_ids=self._image_ids)
        return {task: {key: _percent(found.get(task, {}).get(key)) for key in METRICS} for task in TASKS}


def _percent(value: float | None) -> float | None:
    """pycocotools says -1, and Detectron2 NaN, where there is nothing to find."""
    return None if value is None or np.isnan(value) or value < 0 else float(value)


def common_folder(files: Iterable[str]) -> Path:
    """Deepest folder above all files."""
    return Path(os.path.commonpath([str(Path(file).absolute().parent) for file in files]))
