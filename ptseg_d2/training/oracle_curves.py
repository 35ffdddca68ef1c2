"""True and false pseudo instances during self-training, counted against labels of the target (figures of [thesis],
section 9): to see whether a run gets better, never to make it better.

Off unless EVAL.ORACLE_CURVES names the labelled twin of DATASETS.TARGET. The labels are opened here and become
three numbers in the event storage (TensorBoard, metrics.json); no tensor of them reaches a loss, a sampler, a threshold
or a stopping rule, and the weights of a run are the same, bit by bit, with and without the curves.

Shapes: h x w the decoder's resolution. Instance id 0 = none, -1 = ignored, 1.. = instances; class 255 = void.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ptseg_d2.classes.tables import VOID
from ptseg_d2.counting import evenly_spread
from ptseg_d2.data.dataset_dicts import load_dataset
from ptseg_d2.data.labels import read_labels
from ptseg_d2.modeling.embedding_net import shrink_labels
from ptseg_d2.modeling.teachers.embedding_teacher import EmbeddingMomentumTeacher
from ptseg_d2.random_states import seeded
from ptseg_d2.stages import StageInputs
from ptseg_d2.training.probing import target_images

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase
from detectron2.utils import comm
from numpy.typing import NDArray

MIN_IOU = 0.5
IntArray = NDArray[np.int64]


class OraclePseudoInstanceCurves(HookBase):
    """Counts the pseudo instances of evenly spread target images every EVAL.ORACLE_PERIOD iterations.

    Must come before the hooks that change the teacher: right after a copy, student and teacher agree on everything.
    """

    def __init__(self, cfg: CfgNode, inputs: StageInputs, model: EmbeddingMomentumTeacher) -> None:
        """
        Args:
            cfg: config of the run.
            inputs: its inputs.
            model: its student and teacher.

        Raises:
            ValueError: the named data set has not the images of DATASETS.TARGET, or the period is below 1.
        """
        if cfg.EVAL.ORACLE_PERIOD < 1:
            raise ValueError(f"EVAL.ORACLE_PERIOD = {cfg.EVAL.ORACLE_PERIOD} iterations; expected 1 or more")
        self.model = model
        self.period = cfg.EVAL.ORACLE_PERIOD
        images, self.noise = target_images(cfg, inputs)
        labels = {item["image_id"]: item for item in load_dataset((cfg.EVAL.ORACLE_CURVES,), "EVAL.ORACLE_CURVES")}
        self.images = evenly_spread(images, cfg.EVAL.ORACLE_IMAGES)
        missing = [item["image_id"] for item in self.images if item["image_id"] not in labels]
        if missing:
            raise ValueError(
                f"EVAL.ORACLE_CURVES = {cfg.EVAL.ORACLE_CURVES!r} has no label of the target image "
                f"{missing[0]}; name the labelled twin of {tuple(cfg.DATASETS.TARGET)}"
            )
        self.labels = [labels[item["image_id"]] for item in self.images]

    def after_step(self) -> None:
        """Count when the finished iteration is a multiple of the period, in the main process."""
        if (self.trainer.iter + 1) % self.period or not comm.is_main_process():
            return
        was_training = self.model.training
        self.model.eval()
        try:
            counts = [self._count(number) for number in range(len(self.images))]
        finally:
            self.model.train(was_training)
        for name, total in zip(("true_positives", "false_positives", "missed"), np.sum(counts, axis=0)):
            self.trainer.storage.put_scalar(f"oracle/pseudo_{name}", int(total), smoothing_hint=False)

    @torch.no_grad()
    def _count(self, number: int) -> tuple[int, int, int]:
        with seeded(number):  # the same noise and anchors each time, and none of the training's random numbers
            teacher, student, sem_seg = self.model.encode_image(self.images[number], self.noise)
            pseudo_ids, _ = self.model.pseudo_instances(teacher, student, sem_seg)
        true_classes, true_ids = (_shrink(values, sem_seg.shape) for values in read_labels(self.labels[number]))
        return count_matches(
            pseudo_ids.cpu().numpy(), sem_seg.cpu().numpy(), true_classes, true_ids, self.model.thing_ids
        )


def count_matches(
    pseudo_ids: IntArray,
    predicted_classes: IntArray,
    true_classes: IntArray,
    true_ids: IntArray,
    thing_ids: Collection[int],
) -> tuple[int, int, int]:
    """True positive, false positive and missed instances: the same class and an IoU above one half.

    A pseudo instance that lies mostly on void or on things without an instance (groups) does not count.

    Args:
        pseudo_ids: (h, w), each positive id inside one predicted class.
        predicted_classes: (h, w).
        true_classes: (h, w).
        true_ids: (h, w).
        thing_ids: classes whose true instances can be missed.
    """
    numbers, columns, true_areas = np.unique(true_ids, return_inverse=True, return_counts=True)
    columns = columns.reshape(true_ids.shape)  # NumPy 1 and 2 differ in it
    num_pseudo = int(pseudo_ids.max(initial=0)) + 1
    pseudo_areas, ignored_areas = (
        np.bincount(pseudo_ids[chosen], minlength=num_pseudo)
        for chosen in (pseudo_ids > 0, (pseudo_ids > 0) & ((true_classes == VOID) | (true_ids < 0)))
    )
    # One count of all pairs of a pseudo and a true instance: (num_pseudo, true ids) pixels of the same class.
    same_class = (pseudo_ids > 0) & (true_ids > 0) & (true_classes == predicted_classes)
    pairs = pseudo_ids[same_class] * len(numbers) + columns[same_class]
    overlaps = np.bincount(pairs, minlength=num_pseudo * len(numbers)).reshape(num_pseudo, len(numbers))
    found = (overlaps > MIN_IOU * (pseudo_areas[:, None] + true_areas - overlaps)).any(axis=1)
    wrong = (pseudo_areas > 0) & ~found & (2 * ignored_areas <= pseudo_areas)
    wanted = len(np.unique(true_ids[(true_ids > 0) & np.isin(true_classes, list(thing_ids))]))
    return int(found.sum()), int(wrong.sum()), wanted - int(found.sum())


def _shrink(values: IntArray, size: Any) -> IntArray:
    shrunk: IntArray = shrink_labels(torch.from_numpy(values)[None], tuple(size))[0].numpy()
    return shrunk
