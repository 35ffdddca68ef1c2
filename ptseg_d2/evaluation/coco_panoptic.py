"""Export in the COCO panoptic format that panopticapi reads: a JSON file and a folder of PNGs.

Shapes: H x W pixels. Segment id 0 = void. Category ids are train ids in memory and label ids, of
Cityscapes the official ones, on disk. The files are read by `panopticapi`, by Detectron2 (see
`ptseg_d2.data.datasets.exported`) and by the panoptic script of Cityscapes.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Union

from ptseg_d2.atomic import replace_folder, replaced_file
from ptseg_d2.classes.streets import CITYSCAPES
from ptseg_d2.classes.tables import ClassTable
from ptseg_d2.data.image_files import write_png
from ptseg_d2.evaluation.segment_overlap import SegmentInfo
from ptseg_d2.panoptic_ids import ids_to_rgb

import numpy as np
from numpy.typing import NDArray

ImageId = Union[int, str]


class CocoPanopticWriter:
    """Writes `<output_dir>/<name>/*.png` and `<output_dir>/<name>.json`.

    The pictures wait in `<name>.partial` until `finish`, so an interrupted export leaves an earlier one as it
    was.

    Args:
        output_dir: folder of the export, made if missing.
        name: "pred" for predictions, "gt" for ground truth.
        joining: whether another process has begun the same export, whose pictures stay.
        classes: of the data set.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike[str],
        name: str,
        joining: bool = False,
        classes: ClassTable = CITYSCAPES,
    ) -> None:
        self.classes = classes
        self.folder = Path(output_dir) / name
        self.json_file = Path(output_dir) / f"{name}.json"
        self._partial = Path(output_dir) / f"{name}.partial"
        if self._partial.exists() and not joining:
            shutil.rmtree(self._partial)
        self._partial.mkdir(parents=True, exist_ok=True)
        self._images: dict[str, dict[str, Any]] = {}
        self._annotations: dict[str, dict[str, Any]] = {}

    def __len__(self) -> int:
        return len(self._images)

    def add(
        self, image_id: ImageId, file_name: str, ids: NDArray[np.integer], segments_info: Sequence[SegmentInfo]
    ) -> None:
        """Write the picture of one image.

        Args:
            image_id: unique number or name of the image, the same for prediction and ground truth.
            file_name: file of the photograph.
            ids: (H, W) integer segment ids in [0, 2**24), 0 = void.
            segments_info: per segment id, category_id (train id) and optionally score and iscrowd; not changed.

        Raises:
            ValueError: the image, or one whose picture has the same name, was added before; the map and the list do
                not hold the same ids; an id is beyond 24 bits; a category is no class.
            OSError: the picture could not be written.
        """
        picture = picture_name(image_id, file_name)
        self._require_new(picture, {"id": image_id, "file_name": file_name})
        try:
            _check_segments(ids, segments_info, self.classes.num_classes)
            pixels = ids_to_rgb(ids)
        except ValueError as error:
            raise ValueError(f"prediction or label of {file_name}: {error}") from error
        write_png(self._partial / picture, pixels[..., ::-1])
        height, width = ids.shape
        self._images[picture] = {
            "id": image_id,
            "file_name": os.path.basename(file_name),
            "height": height,
            "width": width,
        }
        self._annotations[picture] = {
            "image_id": image_id,
            "file_name": picture,
            "segments_info": [_segment_entry(segment, ids == segment["id"], self.classes) for segment in segments_info],
        }

    def merge(self, other: CocoPanopticWriter) -> None:
        """List what another process has written to the same folder; a ValueError if both have an image."""
        for picture, image in other._images.items():
            self._require_new(picture, image)
        self._images.update(other._images)
        self._annotations.update(other._annotations)

    def finish(self) -> Path:
        """Put the pictures in place, then the list of them; returns the JSON file."""
        content = {
            "info": {"description": "panoptic segmentation, category ids = label ids, segment id 0 = void"},
            "images": list(self._images.values()),
            "annotations": list(self._annotations.values()),
            "categories": category_entries(self.classes),
        }
        with replaced_file(self.json_file) as place:
            place.write_text(json.dumps(content), encoding="utf-8")
            # The list goes first and comes last: there is never one of pictures that are not there.
            self.json_file.unlink(missing_ok=True)
            replace_folder(self._partial, self.folder)
        return self.json_file

    def discard(self) -> None:
        """Give up this export and remove an earlier one, which belongs to other images."""
        shutil.rmtree(self._partial)
        self.json_file.unlink(missing_ok=True)
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def _require_new(self, picture: str, image: Mapping[str, Any]) -> None:
        if picture in self._images:
            raise ValueError(
                f"image {image['id']} of {image['file_name']} was already added to {self.json_file}: {picture} is the "
                f"picture of image {self._images[picture]['id']}"
            )


def picture_name(image_id: ImageId, file_name: str) -> str:
    """Name of the PNG of an image: its id, or the photograph's name where ids are numbers, as in COCO's own files."""
    stem = Path(file_name).stem if isinstance(image_id, int) else image_id.replace("/", "_")
    return f"{stem}.png"


def category_entries(classes: ClassTable = CITYSCAPES) -> list[dict[str, Any]]:
    """The classes as COCO panoptic categories with label ids."""
    return [
        {
            "id": category.label_id,
            "name": category.name,
            "supercategory": category.group,
            "isthing": int(category.is_thing),
            "color": list(category.color),
        }
        for category in classes.categories
    ]


def _check_segments(ids: NDArray[np.integer], segments_info: Sequence[SegmentInfo], num_classes: int) -> None:
    listed = sorted(segment["id"] for segment in segments_info)
    found = [i for i in np.unique(ids).tolist() if i != 0]
    if listed != found:
        differing = sorted(set(listed) ^ set(found)) or listed
        raise ValueError(f"the map and the segments_info hold different segment ids, such as {differing[0]}")
    for segment in segments_info:
        if not 0 <= segment["category_id"] < num_classes:
            raise ValueError(
                f"segment {segment['id']} has category_id {segment['category_id']}; expected a train id in "
                f"0..{num_classes - 1}"
            )


def _segment_entry(segment: SegmentInfo, mask: NDArray[np.bool_], classes: ClassTable) -> dict[str, Any]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    x, y = int(columns[0]), int(rows[0])
    entry = {
        "id": int(segment["id"]),
        "category_id": classes.label_ids[segment["category_id"]],
        "area": int(mask.sum()),
        "bbox": [x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1],
        "iscrowd": int(segment.get("iscrowd", 0)),
    }
    if "score" in segment:
        entry["score"] = float(segment["score"])
    return entry
