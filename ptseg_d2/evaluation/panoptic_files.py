"""Panoptic quality of predictions on disk in the COCO panoptic format, of any model and with any categories.

Every unusable file raises `DataError` or FileNotFoundError, which name it. Segments have the pixels that the PNG gives
them, "area" and "bbox" of the JSON files are not read.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ptseg_d2.data.image_files import PNG_END_CHUNK, PNG_SIGNATURE, PathLike
from ptseg_d2.errors import DataError
from ptseg_d2.evaluation.panoptic_quality import PanopticQuality

import cv2
import numpy as np
from numpy.typing import NDArray

Annotation = Mapping[str, Any]


@dataclass(frozen=True)
class PanopticFiles:
    """One side of a comparison.

    Attributes:
        json_file: names the categories and the segments.
        folder: holds the PNGs.
        annotations: image id -> "file_name" of the PNG and "segments_info".
        categories: category id -> "name" and "isthing"; empty for predictions.
    """

    json_file: Path
    folder: Path
    annotations: Mapping[Any, Annotation]
    categories: Mapping[int, Mapping[str, Any]]


class Pair(NamedTuple):
    """Files and segments of one image: annotations of ground truth and prediction."""

    image_id: Any
    truth: Annotation
    prediction: Annotation


def read_panoptic_json(
    json_file: PathLike, folder: PathLike | None = None, *, with_categories: bool = False
) -> PanopticFiles:
    """Read the list of segments.

    Args:
        json_file: in the COCO panoptic format.
        folder: of the PNGs; by default the path of the JSON file without its suffix.
        with_categories: whether it must name the categories.

    Raises:
        FileNotFoundError: no such file or folder.
        DataError: the file is no JSON, not in the panoptic format, or names an image twice.
    """
    path = Path(json_file)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} not found") from None
    except ValueError as error:  # no JSON, no text
        raise DataError(f"{path}: not valid JSON ({error})") from error
    pictures = path.with_suffix("") if folder is None else Path(folder)
    if not pictures.is_dir():
        raise FileNotFoundError(f"{pictures}, the folder with the PNGs of {path}, not found")
    try:
        annotations = {entry["image_id"]: entry for entry in content["annotations"]}
        needed = ("id", "name", "isthing")
        categories = {
            int(entry["id"]): {key: entry[key] for key in needed}
            for entry in (content["categories"] if with_categories else [])
        }
        for entry in annotations.values():
            _check_segments(entry)
    except (KeyError, TypeError, ValueError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise DataError(f"{path}: not in the COCO panoptic format ({what})") from error
    if len(annotations) < len(content["annotations"]):
        image_id, _ = Counter(entry["image_id"] for entry in content["annotations"]).most_common(1)[0]
        raise DataError(f"{path}: image {image_id!r} has several annotations")
    return PanopticFiles(path, pictures, annotations, categories)


def _check_segments(entry: Annotation) -> None:
    """Raise KeyError, TypeError or ValueError for an annotation that is none."""
    if not isinstance(entry["file_name"], str):
        raise TypeError(f"file_name of image {entry['image_id']!r} must be a text")
    for segment in entry["segments_info"]:
        for key in ("id", "category_id"):
            if not isinstance(segment[key], int):
                raise TypeError(f"{key} {segment[key]!r} in image {entry['image_id']!r} is no whole number")
    ids = [segment["id"] for segment in entry["segments_info"]]
    if min(ids, default=1) <= 0 or len(set(ids)) < len(ids):
        raise ValueError(f"segment ids in image {entry['image_id']!r} must be positive and unique")


def paired(truth: PanopticFiles, predictions: PanopticFiles) -> list[Pair]:
    """Every image of the ground truth with its prediction; predictions of other images are left aside.

    Raises:
        DataError: an image has no prediction.
    """
    pairs = []
    for image_id, annotation in truth.annotations.items():
        if image_id not in predictions.annotations:
            raise DataError(f"{predictions.json_file}: no prediction for image {image_id!r} of {truth.json_file}")
        pairs.append(Pair(image_id, annotation, predictions.annotations[image_id]))
    return pairs


class PanopticScorer:
    """Scores pairs of images, in this process or, a copy each, in several.

    Args:
        truth: with categories.
        predictions: of the same categories.
    """

    def __init__(self, truth: PanopticFiles, predictions: PanopticFiles) -> None:
        self.truth_file, self.truth_folder = truth.json_file, truth.folder
        self.prediction_file, self.prediction_folder = predictions.json_file, predictions.folder
        self.class_ids = {category_id: place for place, category_id in enumerate(truth.categories)}
        names = [str(category["name"]) for category in truth.categories.values()]
        self.class_names = [
            name if names.count(name) == 1 else f"{name} ({category_id})"
            for category_id, name in zip(truth.categories, names)
        ]
        self.thing_ids = [
            place for place, category in enumerate(truth.categories.values()) if int(category["isthing"]) == 1
        ]

    def empty(self) -> PanopticQuality:
        """Accumulator without images; class id = position of the category in the ground truth's list."""
        return PanopticQuality(self.class_names, self.thing_ids)

    def score(self, pair: Pair) -> PanopticQuality:
        """Accumulator with one image, to be merged.

        Raises:
            FileNotFoundError, DataError: a PNG is missing, damaged or of another size than the other, its segments are
                not those of the JSON file, or a category is unknown.
        """
        truth_png = self.truth_folder / pair.truth["file_name"]
        prediction_png = self.prediction_folder / pair.prediction["file_name"]
        true_segments = self._segments(pair.truth, self.truth_file)
        segments = self._segments(pair.prediction, self.prediction_file)
        true_ids, ids = read_panoptic_png(truth_png), read_panoptic_png(prediction_png)
        if ids.shape != true_ids.shape:
            raise DataError(f"{prediction_png}: {_size(ids)} pixels, but {_size(true_ids)} in {truth_png}")
        quality = self.empty()
        try:
            quality.update(ids, segments, true_ids, true_segments, (type(pair.image_id).__name__, str(pair.image_id)))
        except ValueError as error:
            raise DataError(f"{prediction_png} and {self.prediction_file}: {error}") from error
        return quality

    def _segments(self, annotation: Annotation, json_file: Path) -> list[dict[str, int]]:
        segments = []
        for segment in annotation["segments_info"]:
            category_id = segment["category_id"]
            if category_id not in self.class_ids:
                raise DataError(
                    f"{json_file}: unknown category_id {category_id} in image {annotation['image_id']!r}; "
                    f"the categories are those of {self.truth_file}"
                )
            segments.append(
                {
                    "id": segment["id"],
                    "category_id": self.class_ids[category_id],
                    "iscrowd": segment.get("iscrowd", 0),
                }
            )
        return segments


def _size(ids: Any) -> str:
    return f"{ids.shape[1]} x {ids.shape[0]}"


ID_BITS = 0xFFFFFF


TO_RGBA = {3: cv2.COLOR_BGR2RGBA, 4: cv2.COLOR_BGRA2RGBA}


def read_panoptic_png(path: PathLike) -> NDArray[np.int32]:
    """(H, W) segment ids in [0, 2**24) of a PNG with three channels; a fourth one, transparency, is dropped.

    Raises:
        FileNotFoundError: no such file.
        DataError: the file is no PNG, damaged or truncated, or has other channels.
    """
    data = Path(path).read_bytes()
    if not data.startswith(PNG_SIGNATURE):
        raise DataError(f"{path}: not a PNG file")
    # Some decoders accept a PNG that was cut off within its rows; its end chunk shows that it is complete.
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if PNG_END_CHUNK in data[-64:] else None
    if picture is None:
        raise DataError(f"{path}: damaged or truncated PNG")
    if picture.ndim != 3 or picture.dtype != np.uint8:
        raise DataError(
            f"{path}: expected 8-bit RGB with id = R + 256 G + 65536 B, got {picture.dtype} of shape {picture.shape}"
        )
    rgba = cv2.cvtColor(picture, TO_RGBA[picture.shape[2]])
    return np.ascontiguousarray((rgba.view("<u4")[..., 0] & ID_BITS).view("<i4"), dtype=np.int32)
