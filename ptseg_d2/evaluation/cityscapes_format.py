"""Export in the formats that the Cityscapes benchmark and its scripts read.

A folder with

- `labelIds/<image>_labelIds.png`: 8-bit label ids, for the pixel-level script and server;
- `instances/<image>_pred.txt` and `instances/masks/*.png`: per instance "mask labelID confidence" and an 8-bit mask,
  0 or 255, for the instance-level script and server;
- `panoptic.json` and `panoptic/*.png`: COCO's panoptic format with label ids, for the panoptic script and server;
- `instanceIds/<image>_instanceIds.png`: 16 bits, label id * 1000 + number for an instance, the label id for stuff, as
  in gtFine: all of the panoptic result in one picture, which everything that reads gtFine can read.

Label id 0 (unlabeled) is void in all of them. The first two scripts search a folder, each the one above that is meant
for it (CITYSCAPES_RESULTS), and find the files of an image if its id is `<city>_<sequence>_<frame>`.

Shapes: H x W pixels. Segment id 0 = void; class 255 = void.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from ptseg_d2.atomic import replace_folder
from ptseg_d2.classes.streets import CITYSCAPES
from ptseg_d2.classes.tables import ClassTable
from ptseg_d2.data.image_files import write_png
from ptseg_d2.evaluation.coco_panoptic import CocoPanopticWriter, ImageId, picture_name
from ptseg_d2.evaluation.ground_truth import label_id_table
from ptseg_d2.evaluation.segment_overlap import SegmentInfo
from ptseg_d2.panoptic_ids import instance_ids_of_segments, replace_ids

import numpy as np
from numpy.typing import NDArray

LABELS, NUMBERED, INSTANCES = "labelIds", "instanceIds", "instances"
MASKS = "masks"


class CityscapesWriter:
    """Writes the predictions of a data set; the module says which files.

    They wait in `<folder>.partial` until `finish`, so an interrupted export leaves an earlier one as it was.

    Args:
        folder: of the export, replaced as a whole.
        joining: whether another process has begun the same export, whose files stay.
        classes: of the data set; those of another world are written with their own label ids.
    """

    def __init__(self, folder: str | os.PathLike[str], joining: bool = False, classes: ClassTable = CITYSCAPES) -> None:
        self.classes = classes
        self.folder = Path(folder)
        self._partial = self.folder.with_name(f"{self.folder.name}.partial")
        if self._partial.exists() and not joining:
            shutil.rmtree(self._partial)
        for part in (LABELS, NUMBERED, f"{INSTANCES}/{MASKS}"):
            (self._partial / part).mkdir(parents=True, exist_ok=True)
        self._panoptic = CocoPanopticWriter(self._partial, "panoptic", joining, classes)

    def __len__(self) -> int:
        return len(self._panoptic)

    def add(
        self,
        image_id: ImageId,
        file_name: str,
        ids: NDArray[np.integer],
        segments_info: Sequence[SegmentInfo],
        sem_seg: NDArray[np.integer] | None = None,
    ) -> None:
        """Write the files of one image.

        Args:
            image_id: unique name of the image.
            file_name: file of the photograph.
            ids: (H, W) integer segment ids in [0, 2**24), 0 = void.
            segments_info: per segment id, category_id (train id) and optionally score in [0, 1], 1 if missing.
            sem_seg: (H, W) integer train ids, 255 = void, for the pixel-level files; by default the classes of the
                segments.

        Raises:
            ValueError: as from `CocoPanopticWriter.add`, or the name has a space, or a class has more than 1000
                instances.
            OSError: a file could not be written.
        """
        stem = Path(picture_name(image_id, file_name)).stem
        if " " in stem:
            raise ValueError(f"image id {stem!r} has a space, which the lists of the Cityscapes format cannot hold")
        self._panoptic.add(image_id, file_name, ids, segments_info)
        try:
            numbers = instance_ids_of_segments(segments_info, self.classes.label_ids, self.classes.thing_ids)
        except ValueError as error:
            raise ValueError(f"prediction for {file_name}: {error}") from error
        if sem_seg is None:
            label_ids = replace_ids(ids, {s["id"]: self.classes.label_ids[s["category_id"]] for s in segments_info})
        else:
            label_ids = label_id_table(self.classes)[sem_seg]
        write_png(self._partial / LABELS / f"{stem}_labelIds.png", label_ids.astype(np.uint8))
        write_png(self._partial / NUMBERED / f"{stem}_instanceIds.png", replace_ids(ids, numbers).astype(np.uint16))
        self._add_instances(stem, ids, segments_info, numbers)

    def _add_instances(
        self, stem: str, ids: NDArray[np.integer], segments_info: Sequence[SegmentInfo], numbers: dict[int, int]
    ) -> None:
        lines = []
        for segment in segments_info:
            if segment["category_id"] in self.classes.thing_ids:
                mask = f"{MASKS}/{stem}_{numbers[segment['id']]}.png"
                write_png(self._partial / INSTANCES / mask, np.where(ids == segment["id"], 255, 0).astype(np.uint8))
                # All digits: ties between rounded scores would change the AP.
                score = repr(float(segment.get("score", 1.0)))
                lines.append(f"{mask} {self.classes.label_ids[segment['category_id']]} {score}\n")
        # The script wants a file for every image, also where nothing was found.
        (self._partial / INSTANCES / f"{stem}_pred.txt").write_text("".join(lines), encoding="utf-8")

    def merge(self, other: CityscapesWriter) -> None:
        """List what another process has written to the same folder; a ValueError if both have an image."""
        self._panoptic.merge(other._panoptic)

    def finish(self) -> Path:
        """Put everything in place; returns the folder."""
        self._panoptic.finish()
        replace_folder(self._partial, self.folder)
        return self.folder
