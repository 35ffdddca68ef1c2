"""Detectron2 evaluator: panoptic, semantic and instance scores on a labelled data set in one pass."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from ptseg_d2.data.datasets import classes_of_dataset
from ptseg_d2.evaluation.confidence import NUM_RESAMPLES
from ptseg_d2.evaluation.details import evaluation_details
from ptseg_d2.evaluation.ground_truth import GroundTruthCache
from ptseg_d2.evaluation.instance_ap import OFFICIAL_MIN_REGION_SIZE
from ptseg_d2.evaluation.scores import Scores

from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm

logger = logging.getLogger(__name__)


class PanopticEvaluator(DatasetEvaluator):
    """Scores what the outputs hold: "panoptic_seg" gives PQ and the instance scores, "sem_seg" gives mIoU.

    The same images give the same numbers, to the last bit, however they are spread over processes; an image that two
    processes have seen counts once.

    Args:
        dataset_name: registered data set with labels; its metadata holds the class table.
        ground_truth: cache to share with other evaluators of the same data set; by default its own.
        min_region_size: AP ignores ground-truth instances of fewer pixels.
        panoptic_key: the output to score as panoptic segments, for a model that returns several; the output of this
            name with "_16way" behind it gives the 16-way means.
        semantic: whether to score "sem_seg" too; of several evaluators of one model one is enough.
        bootstrap: resamples of the images behind each 95 % confidence interval; 0 = no intervals.

    Attributes:
        details: after `evaluate`, in the main process: scores of every image and the confusion matrix as JSON values,
            see `evaluation_details`.
    """

    def __init__(
        self,
        dataset_name: str,
        *,
        ground_truth: GroundTruthCache | None = None,
        min_region_size: int = OFFICIAL_MIN_REGION_SIZE,
        panoptic_key: str = "panoptic_seg",
        semantic: bool = True,
        bootstrap: int = NUM_RESAMPLES,
    ) -> None:
        self.dataset_name = dataset_name
        self.classes = classes_of_dataset(dataset_name)
        self.min_region_size = min_region_size
        self.panoptic_key = panoptic_key
        self.semantic = semantic
        self.bootstrap = bootstrap
        self.details: dict[str, Any] = {}
        self._ground_truth = GroundTruthCache(self.classes) if ground_truth is None else ground_truth
        self.reset()

    def reset(self) -> None:
        """Forget all images."""
        self._scores = Scores(self.classes, self.min_region_size, self.panoptic_key)

    def process(self, inputs: Sequence[Mapping[str, Any]], outputs: Sequence[Mapping[str, Any]]) -> None:
        """Add a batch.

        Args:
            inputs: entries of the data set, with their label files.
            outputs: per image "panoptic_seg": (ids (H, W) integer tensor, 0 = void, segments_info),
                "panoptic_seg_16way": the same with segments of the 16 classes only, and/or "sem_seg": (C, H, W)
                logits or probabilities.

        Raises:
            ValueError: an output has another size than the labels, its map and segments_info disagree, a 16-way one
                holds another class, or the image came before with another prediction.
            DataError: a label file is bad.
        """
        for dataset_dict, output in zip(inputs, outputs):
            truth = self._ground_truth.read(dataset_dict)
            output = {key: value for key, value in output.items() if self.semantic or key != "sem_seg"}
            file_name = str(dataset_dict["file_name"])
            try:
                self._scores.add((str(dataset_dict.get("image_id", "")), file_name), truth, output)
            except ValueError as error:
                raise ValueError(f"prediction for {file_name}: {error}") from error

    def evaluate(self) -> dict[str, dict[str, Any]] | None:
        """Scores over all images of all processes, in percent.

        Returns:
            "panoptic", "instance" and/or "semantic" as in results.json, what the outputs held, each with "ci95": name
            of a mean -> [low, high] or None; None in all but the main process.

        Raises:
            ValueError: only some of the outputs held a prediction of one kind, or two processes saw one image with
                different predictions.
        """
        comm.synchronize()
        gathered = comm.gather(self._scores)
        if not comm.is_main_process():
            return None
        self.reset()
        for scores in gathered:
            self._scores.merge(scores)
        self._scores.check_complete(self.dataset_name)
        self.details = evaluation_details(self._scores)
        results = self._scores.compute(self.bootstrap)
        if not results:
            logger.warning("No prediction to evaluate on %s (%d images).", self.dataset_name, len(self._scores.images))
        return results
