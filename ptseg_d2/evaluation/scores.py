"""Everything one evaluation counts, image by image; what the processes of an evaluation exchange."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Union

from ptseg_d2.classes.tables import SIXTEEN_WAY, ClassTable
from ptseg_d2.evaluation.ground_truth import GroundTruth
from ptseg_d2.evaluation.instance_ap import InstanceAP
from ptseg_d2.evaluation.panoptic_quality import PanopticQuality
from ptseg_d2.evaluation.segment_overlap import SegmentInfo, SegmentOverlap, count_overlap
from ptseg_d2.evaluation.semantic_iou import ConfusionMatrix, argmax_among

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Accumulator = Union[PanopticQuality, InstanceAP, ConfusionMatrix]
ImageName = tuple[str, str]  # image_id, file_name


class Scores:
    """Panoptic, instance and semantic scores of the same images.

    Args:
        classes: of the data set.
        min_region_size: AP ignores ground-truth instances of fewer pixels.
        panoptic_key: output with the panoptic segments; this and "_16way" is the one with the 16 classes only.
    """

    def __init__(self, classes: ClassTable, min_region_size: int, panoptic_key: str) -> None:
        self.panoptic_key = panoptic_key
        self.restricted_ids = classes.restricted_ids
        self.images: set[ImageName] = set()
        restricted = {f"{quality}16{SIXTEEN_WAY}": self.restricted_ids for quality in ("PQ", "SQ", "RQ")}
        self.panoptic = PanopticQuality(classes.names, classes.thing_ids, classes.panoptic_subsets)
        self.panoptic_16way = PanopticQuality(classes.names, classes.thing_ids, restricted)
        self.instance = InstanceAP(classes.names, classes.thing_ids, min_region_size)
        self.semantic = ConfusionMatrix(classes.names, classes.semantic_subsets)
        self.semantic_16way = ConfusionMatrix(classes.names, {f"mIoU16{SIXTEEN_WAY}": self.restricted_ids})

    def add(self, name: ImageName, truth: GroundTruth, output: Mapping[str, Any]) -> None:
        """Add what the output of one image holds.

        Raises:
            ValueError: see `PanopticEvaluator.process`.
        """
        self.images.add(name)
        if self.panoptic_key in output:
            overlap = _overlap(output[self.panoptic_key], truth)
            self.panoptic.add(overlap, name)
            self.instance.add(overlap, name)
        if self.panoptic_key + SIXTEEN_WAY in output:
            overlap = _overlap(output[self.panoptic_key + SIXTEEN_WAY], truth)
            others = set(overlap.pred_classes.tolist()) - set(self.restricted_ids)
            if others:
                raise ValueError(f"{self.panoptic_key + SIXTEEN_WAY} holds a class outside of the 16: {min(others)}")
            self.panoptic_16way.add(overlap, name)
        if "sem_seg" in output:
            self._add_semantic(name, truth, output["sem_seg"])

    def _add_semantic(self, name: ImageName, truth: GroundTruth, scores: Tensor) -> None:
        num_classes = len(self.semantic.class_names)
        if scores.ndim != 3 or scores.shape[0] != num_classes:
            raise ValueError(f"sem_seg must be ({num_classes}, H, W), got {tuple(scores.shape)}")
        best = scores.argmax(dim=0)
        self.semantic.update(_to_numpy(best), truth.sem_seg, name)
        if self.restricted_ids:
            among = argmax_among(scores, self.restricted_ids, best)
            self.semantic_16way.update(_to_numpy(among), truth.sem_seg, name)

    def merge(self, other: Scores) -> None:
        """Add the images of another process."""
        self.images |= other.images
        self.panoptic.merge(other.panoptic)
        self.panoptic_16way.merge(other.panoptic_16way)
        self.instance.merge(other.instance)
        self.semantic.merge(other.semantic)
        self.semantic_16way.merge(other.semantic_16way)

    def check_complete(self, dataset_name: str) -> None:
        """Raise ValueError if only some of the images have a prediction of one kind."""
        for key, accumulator in (
            (self.panoptic_key, self.panoptic),
            (self.panoptic_key + SIXTEEN_WAY, self.panoptic_16way),
            ("sem_seg", self.semantic),
        ):
            count = len(accumulator.entries)
            if 0 < count < len(self.images):
                raise ValueError(
                    f"{key} is in {count} of {len(self.images)} outputs on {dataset_name}; expected all or none"
                )

    def compute(self, num_resamples: int) -> dict[str, dict[str, Any]]:
        """Sections of results.json in percent; "ci95" in each if num_resamples > 0."""
        results = {
            section: _with_intervals(accumulator, num_resamples)
            for section, accumulator in (
                ("panoptic", self.panoptic),
                ("instance", self.instance),
                ("semantic", self.semantic),
            )
            if len(accumulator.entries)
        }
        for section, restricted in (("panoptic", self.panoptic_16way), ("semantic", self.semantic_16way)):
            if len(restricted.entries):
                scores = _with_intervals(restricted, num_resamples)
                own = results.setdefault(section, {})
                own.update({name: scores[name] for name in restricted.subsets})
                if "ci95" in scores:
                    own.setdefault("ci95", {}).update({name: scores["ci95"][name] for name in restricted.subsets})
        return results


def _with_intervals(accumulator: Accumulator, num_resamples: int) -> dict[str, Any]:
    scores = accumulator.compute()
    if num_resamples > 0:
        scores["ci95"] = accumulator.intervals(num_resamples)
    return scores


def _overlap(panoptic_seg: tuple[Tensor, list[SegmentInfo]], truth: GroundTruth) -> SegmentOverlap:
    ids, segments = panoptic_seg
    return count_overlap(_to_numpy(ids), segments, truth.ids, truth.segments)


def _to_numpy(tensor: Tensor) -> NDArray[np.integer]:
    array: NDArray[np.integer] = tensor.detach().cpu().numpy()
    return array
