"""Pictures of pseudo labels while self-training goes on, for TensorBoard and the report of a run.

Like `ptseg_d2.training.oracle_curves` it only looks: the weights of a run are the same, bit by bit, with and without
it.

Shapes: H x W pixels of an image, h x w the decoder's resolution.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ptseg_d2.counting import evenly_spread
from ptseg_d2.data.datasets import classes_of
from ptseg_d2.data.image_files import read_image
from ptseg_d2.errors import DataError
from ptseg_d2.modeling.teachers.momentum_teacher import MomentumTeacher, Noise
from ptseg_d2.random_states import seeded
from ptseg_d2.stages import StageInputs
from ptseg_d2.training.probing import target_images
from ptseg_d2.visualization.overlays import save_png
from ptseg_d2.visualization.panels import (
    Picture,
    join_pair,
    paint_pseudo_classes,
    paint_pseudo_instances,
    shrink_labels_to,
    shrink_photo,
)

import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase
from detectron2.utils import comm
from detectron2.utils.events import get_event_storage

logger = logging.getLogger(__name__)

FOLDER = "pseudo_labels"
"""Below OUTPUT_DIR; holds <finished iterations, 7 digits>_<image id>.png."""

MAX_BYTES = 1_000_000


class PseudoLabelPictures(HookBase):
    """Draws the pseudo labels of a few target images before the first step, in the middle and after the last one.

    They become files and TensorBoard images; with VIS_PERIOD > 0 there are further TensorBoard images. Every process
    labels, because a labeler may ask the others, and the main one draws. Must come before the hooks that change the
    teacher: right after a copy, student and teacher agree on everything.
    """

    def __init__(self, cfg: CfgNode, inputs: StageInputs, model: MomentumTeacher) -> None:
        """
        Args:
            cfg: config of the run.
            inputs: its inputs.
            model: its student and teacher.
        """
        self.model = model
        self.folder = Path(cfg.OUTPUT_DIR) / FOLDER
        self.period = cfg.VIS_PERIOD
        self.colors = classes_of(cfg).colors
        images, self.noise = target_images(cfg, inputs)
        self.images = evenly_spread(model.worth_showing(images), cfg.EVAL.PSEUDO_LABEL_PICTURES)

    def before_train(self) -> None:
        """Draw what the first step would learn from; a resumed run has done so."""
        if self.trainer.start_iter > 0:
            return
        if comm.is_main_process():
            shutil.rmtree(self.folder, ignore_errors=True)
        self._draw_all(0, keep=True)

    def after_step(self) -> None:
        """Draw in the middle and at the end, and every VIS_PERIOD iterations."""
        finished = self.trainer.iter + 1
        keep = finished in (self.trainer.max_iter // 2, self.trainer.max_iter)
        if keep or (self.period > 0 and finished % self.period == 0):
            self._draw_all(finished, keep)

    def _draw_all(self, finished: int, keep: bool) -> None:
        was_training = self.model.training
        self.model.eval()
        try:
            for number, item in enumerate(self.images):
                try:
                    with seeded(number):  # the same noise and anchors each time, none of the training's random numbers
                        picture = draw_pseudo_labels(self.model, item, self.noise, self.colors)
                except DataError as error:  # training skips a bad image, too
                    logger.warning("No picture of a pseudo label: %s", error)
                    continue
                if comm.is_main_process():
                    self._put(item["image_id"], picture, finished, keep)
        finally:
            self.model.train(was_training)

    def _put(self, image_id: str, picture: Picture, finished: int, keep: bool) -> None:
        get_event_storage().put_image(f"{FOLDER}/{image_id}", picture.transpose(2, 0, 1))
        if keep:
            save_png(self.folder / f"{finished:07d}_{image_id.replace('/', '_')}.png", picture, MAX_BYTES)


@torch.no_grad()
def draw_pseudo_labels(
    model: MomentumTeacher, item: dict[str, Any], noise: Noise, colors: Sequence[tuple[int, int, int]]
) -> Picture:
    """A target image beside what a step would make the student learn on it, the whole image being its only view.

    Args:
        model: in evaluation mode.
        item: entry of the target, with `class_mask_file_name` for instances.
        noise: of the image that the student separates instances in.
        colors: RGB of the classes.
    """
    small = shrink_photo(read_image(item["file_name"]))
    shows_instances, values = model.pseudo_label_image(item, noise)
    labels = shrink_labels_to(values, (small.shape[0], small.shape[1]))
    painted = paint_pseudo_instances(small, labels) if shows_instances else paint_pseudo_classes(small, labels, colors)
    return join_pair(small, painted)
