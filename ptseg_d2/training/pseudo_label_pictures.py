"""Pictures of pseudo labels while self-training goes on, for TensorBoard and the report of a run.

Like `ptseg_d2.training.oracle_curves` it only looks: the weights of a run are the same, bit by bit, with and without
it.

Shapes: H x W pixels of an image, h x w the decoder's resolution.
"""

from __future__ import annotations

import copy
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ptseg_d2.counting import evenly_spread
from ptseg_d2.data.augmentation import Photometric
from ptseg_d2.data.datasets import classes_of
from ptseg_d2.data.image_files import read_image
from ptseg_d2.data.mappers import TargetViewsMapper
from ptseg_d2.errors import DataError
from ptseg_d2.modeling.teachers.embedding_teacher import EmbeddingMomentumTeacher
from ptseg_d2.modeling.teachers.momentum_teacher import MomentumTeacher
from ptseg_d2.modeling.teachers.semantic_teacher import SemanticMomentumTeacher
from ptseg_d2.random_states import seeded
from ptseg_d2.training.probing import Noise, encode, target_images
from ptseg_d2.visualization.overlays import save_png
from ptseg_d2.visualization.panels import (
    Picture,
    join_pair,
    paint_pseudo_classes,
    paint_pseudo_instances,
    shrink_labels_to,
    shrink_photo,
)

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase
from detectron2.utils import comm
from detectron2.utils.events import get_event_storage
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

FOLDER = "pseudo_labels"
"""Below OUTPUT_DIR; holds <finished iterations, 7 digits>_<image id>.png."""

MAX_BYTES = 1_000_000
NO_NOISE = Photometric(jitter=0.0, jitter_probability=0.0, blur=(0.1, 0.1), blur_probability=0.0)


class PseudoLabelPictures(HookBase):
    """Draws the pseudo labels of a few target images before the first step, in the middle and after the last one.

    They become files and TensorBoard images; with VIS_PERIOD > 0 there are further TensorBoard images. Every process
    labels, because a labeler may ask the others, and the main one draws. Must come before the hooks that change the
    teacher: right after a copy, student and teacher agree on everything.
    """

    def __init__(self, cfg: CfgNode, model: MomentumTeacher) -> None:
        """
        Args:
            cfg: config of the run.
            model: its student and teacher.
        """
        self.model = model
        self.folder = Path(cfg.OUTPUT_DIR) / FOLDER
        self.period = cfg.VIS_PERIOD
        self.colors = classes_of(cfg).colors
        images, self.noise = target_images(cfg)
        if isinstance(model, EmbeddingMomentumTeacher):
            images = _with_things(images, model.thing_ids, cfg.INSTANCE.MIN_MASK_AREA)
        self.images = evenly_spread(images, cfg.EVAL.PSEUDO_LABEL_PICTURES)

    def before_train(self) -> None:
        """ImageSampler what the first step would learn from; a resumed run has done so."""
        if self.trainer.start_iter > 0:
            return
        if comm.is_main_process():
            shutil.rmtree(self.folder, ignore_errors=True)
        self._draw_all(0, keep=True)

    def after_step(self) -> None:
        """ImageSampler in the middle and at the end, and every VIS_PERIOD iterations."""
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
    image = read_image(item["file_name"])
    small = shrink_photo(image)
    size = (small.shape[0], small.shape[1])
    if isinstance(model, EmbeddingMomentumTeacher):
        ids, _ = model.pseudo_instances(*encode(model, item, noise))
        return join_pair(small, paint_pseudo_instances(small, shrink_labels_to(ids.cpu().numpy(), size)))
    assert isinstance(model, SemanticMomentumTeacher)
    labels = _pseudo_classes(model, item, (image.shape[0], image.shape[1]))
    return join_pair(small, paint_pseudo_classes(small, shrink_labels_to(labels, size), colors))


def makes_labels(model: MomentumTeacher) -> bool:
    """Whether there is anything to draw."""
    return not isinstance(model, SemanticMomentumTeacher) or model.labeler.kind != "none"


def _pseudo_classes(model: SemanticMomentumTeacher, item: dict[str, Any], size: tuple[int, int]) -> NDArray[np.int64]:
    """(H, W) labels, 255 = unsure; the class prior takes the image in, but only in a copy of the labeler."""
    whole = TargetViewsMapper(
        crop=size,
        pre_scale=(1.0, 1.0),
        num_views=1,
        zoom=(1.0, 1.0),
        flip=0.0,
        canvas_flip=0.0,
        photometric=NO_NOISE,
    )
    pseudo = copy.deepcopy(model.labeler)(model.teacher, [whole(item)], torch.Size(size))
    labels: NDArray[np.int64] = pseudo.labels[0].cpu().numpy()
    return labels


def _with_things(images: list[dict[str, Any]], thing_ids: Sequence[int], min_share: float) -> list[dict[str, Any]]:
    """The images in which enough of some class was predicted to be clustered; all of them if there is none."""
    found = [item for item in images if np.max([item["class_shares"][i] for i in thing_ids]) >= min_share]
    return found or images
