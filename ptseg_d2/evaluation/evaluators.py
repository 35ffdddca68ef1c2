"""Detectron2 evaluator: panoptic, semantic and instance scores on a labelled data set in one pass."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from ptseg_d2.data.categories import SUBSET_MEANS, SYNTHIA16_IDS
from ptseg_d2.evaluation.ground_truth import GroundTruth, GroundTruthCache
from ptseg_d2.evaluation.instance_ap import OFFICIAL_MIN_REGION_SIZE, InstanceAP
from ptseg_d2.evaluation.panoptic_quality import PanopticQuality
from ptseg_d2.evaluation.segment_overlap import count_overlap
from ptseg_d2.evaluation.semantic_iou import ConfusionMatrix

import numpy as np
from detectron2.data import MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from numpy.typing import NDArray
from torch import Tensor

logger = logging.getLogger(__name__)


class PanopticEvaluator(DatasetEvaluator):
    """Scores what the outputs hold: "panoptic_seg" gives PQ and the instance scores, "sem_seg" gives mIoU.

    Args:
        dataset_name: registered data set with labels; its metadata names the 19 classes and the things.
        ground_truth: cache to share with other evaluators of the same data set; by default its own.
        min_region_size: AP ignores ground-truth instances of fewer pixels.
    """

    def __init__(
        self,
        dataset_name: str,
        *,
        ground_truth: GroundTruthCache | None = None,
        min_region_size: int = OFFICIAL_MIN_REGION_SIZE,
    ) -> None:
        metadata = MetadataCatalog.get(dataset_name)
        self.dataset_name = dataset_name
        self.class_names: tuple[str, ...] = tuple(metadata.stuff_classes)
        self.thing_ids: tuple[int, ...] = tuple(sorted(metadata.thing_dataset_id_to_contiguous_id.values()))
        self.min_region_size = min_region_size
        self._ground_truth = GroundTruthCache() if ground_truth is None else ground_truth
        self.reset()

    def reset(self) -> None:
        """Forget all images."""
        self._counts = {"images": 0, "panoptic_seg": 0, "sem_seg": 0}
        self._panoptic = PanopticQuality(self.class_names, self.thing_ids, {"PQ16": SYNTHIA16_IDS})
        self._semantic = ConfusionMatrix(self.class_names, SUBSET_MEANS)
        self._instance = InstanceAP(self.class_names, self.thing_ids, self.min_region_size)

    def process(self, inputs: Sequence[Mapping[str, Any]], outputs: Sequence[Mapping[str, Any]]) -> None:
        """Add a batch.

        Args:
            inputs: entries of the data set, with their label files.
            outputs: per image "panoptic_seg": (ids (H, W) integer tensor, 0 = void, segments_info) and/or
                "sem_seg": (C, H, W) logits or probabilities.

        Raises:
            ValueError: an output has another size than the labels, or its map and segments_info disagree.
            DataError: a label file is bad.
        """
        for dataset_dict, output in zip(inputs, outputs):
            truth = self._ground_truth.read(dataset_dict)
            self._counts["images"] += 1
            try:
                if "panoptic_seg" in output:
                    ids, segments = output["panoptic_seg"]
                    self._add_panoptic(ids, segments, truth)
                if "sem_seg" in output:
                    self._add_semantic(output["sem_seg"], truth)
            except ValueError as error:
                raise ValueError(f"prediction for {dataset_dict['file_name']}: {error}") from error

    def _add_panoptic(self, ids: Tensor, segments: list[dict[str, Any]], truth: GroundTruth) -> None:
        overlap = count_overlap(_to_numpy(ids), segments, truth.ids, truth.segments)
        self._panoptic.add(overlap)
        self._instance.add(overlap)
        self._counts["panoptic_seg"] += 1

    def _add_semantic(self, scores: Tensor, truth: GroundTruth) -> None:
        if scores.ndim != 3 or scores.shape[0] != len(self.class_names):
            raise ValueError(f"sem_seg must be ({len(self.class_names)}, H, W), got {tuple(scores.shape)}")
        self._semantic.update(_to_numpy(scores.argmax(dim=0)), truth.sem_seg)
        self._counts["sem_seg"] += 1

    def evaluate(self) -> dict[str, dict[str, Any]] | None:
        """Scores over all images of all processes, in percent.

        Returns:
            "panoptic", "instance" and/or "semantic" as in results.json, what the outputs held; None in all
            but the main process.

        Raises:
            ValueError: only some of the outputs held a prediction of one kind.
        """
        comm.synchronize()
        states = comm.gather((self._counts, self._panoptic, self._semantic, self._instance))
        if not comm.is_main_process():
            return None
        self.reset()
        for counts, panoptic, semantic, instance in states:
            self._counts = {key: self._counts[key] + counts[key] for key in counts}
            self._panoptic.merge(panoptic)
            self._semantic.merge(semantic)
            self._instance.merge(instance)
        return self._compute()

    def _compute(self) -> dict[str, dict[str, Any]]:
        results = {}
        num_images = self._counts["images"]
        for key in ("panoptic_seg", "sem_seg"):
            if 0 < self._counts[key] < num_images:
                raise ValueError(
                    f"{key} is in {self._counts[key]} of {num_images} outputs on {self.dataset_name}; "
                    "expected all or none"
                )
        if self._counts["panoptic_seg"]:
            results["panoptic"] = self._panoptic.compute()
            results["instance"] = self._instance.compute()
        if self._counts["sem_seg"]:
            results["semantic"] = self._semantic.compute()
        if not results:
            logger.warning("No prediction to evaluate on %s (%d images).", self.dataset_name, num_images)
        return results


def _to_numpy(tensor: Tensor) -> NDArray[np.integer]:
    array: NDArray[np.integer] = tensor.detach().cpu().numpy()
    return array
