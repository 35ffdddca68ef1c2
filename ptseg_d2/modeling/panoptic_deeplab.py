"""Detectron2's own [Panoptic-DeepLab] behind our data and evaluation, as the baseline of EINet.

Backbone, heads, losses, training targets, forward pass and post-processing are those of
`detectron2.projects.panoptic_deeplab`; here are only the translations between its formats and ours.

Shapes: C classes, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ptseg_d2.classes.tables import VOID
from ptseg_d2.data.datasets import classes_of
from ptseg_d2.modeling.network import DenseNetwork, network_options

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.projects.panoptic_deeplab import PanopticDeepLab
from detectron2.projects.panoptic_deeplab.target_generator import PanopticDeepLabTargetGenerator
from numpy.typing import NDArray
from torch import Tensor, nn


class PanopticDeepLabHeads(nn.Module):
    """Detectron2's two heads under their own names; as a head of a `DenseNetwork` they give semantic logits."""

    def __init__(self, sem_seg_head: nn.Module, ins_embed_head: nn.Module) -> None:
        """
        Args:
            sem_seg_head: a `PanopticDeepLabSemSegHead`.
            ins_embed_head: a `PanopticDeepLabInsEmbedHead`.
        """
        super().__init__()
        self.sem_seg_head = sem_seg_head
        self.ins_embed_head = ins_embed_head
        # Under bfloat16 autocast the predictions would otherwise be resized and compared with 8 bits of mantissa.
        for predictor in (sem_seg_head.predictor, ins_embed_head.center_predictor, ins_embed_head.offset_predictor):
            assert isinstance(predictor, nn.Module)
            predictor.register_forward_hook(_to_float32)

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """Features by name -> logits (N, C, h, w)."""
        return self.sem_seg_head.layers(features)  # type: ignore[operator]


@META_ARCH_REGISTRY.register()
class PanopticDeepLabNetwork(DenseNetwork):
    """A `DenseNetwork` that trains and predicts by the forward pass of Detectron2's `PanopticDeepLab`."""

    head: PanopticDeepLabHeads

    @configurable
    def __init__(
        self, *, detectron2_model: PanopticDeepLab, target_generator: PanopticDeepLabTargetGenerator, **options: Any
    ) -> None:
        """
        Args:
            detectron2_model: gives its parts and settings.
            target_generator: makes its training targets.
            options: those of `DenseNetwork` but for backbone, head and output name.
        """
        heads = PanopticDeepLabHeads(detectron2_model.sem_seg_head, detectron2_model.ins_embed_head)
        super().__init__(backbone=detectron2_model.backbone, head=heads, output_name="sem_seg", **options)
        self.backbone.register_forward_pre_hook(_to_channels_last)
        self.target_generator = target_generator
        # What Detectron2's forward pass reads of its model.
        self.meta = detectron2_model.meta
        self.stuff_area = detectron2_model.stuff_area
        self.threshold = detectron2_model.threshold
        self.nms_kernel = detectron2_model.nms_kernel
        self.top_k = detectron2_model.top_k
        self.predict_instances = True  # for their scores
        self.benchmark_network_speed = False

    @property
    def sem_seg_head(self) -> nn.Module:
        """As Detectron2's forward pass calls it."""
        return self.head.sem_seg_head

    @property
    def ins_embed_head(self) -> nn.Module:
        """As Detectron2's forward pass calls it."""
        return self.head.ins_embed_head

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Detectron2's keys of the project: MODEL.SEM_SEG_HEAD, INS_EMBED_HEAD, PANOPTIC_DEEPLAB and INPUT."""
        cfg = cfg.clone()
        cfg.defrost()
        cfg.DATASETS.TRAIN = cfg.DATASETS.SOURCE  # Detectron2 reads the metadata of the first
        options = network_options(cfg)
        del options["backbone"]  # Detectron2 builds the same
        generator = PanopticDeepLabTargetGenerator(
            ignore_label=VOID,
            thing_ids=classes_of(cfg).thing_ids,
            sigma=cfg.INPUT.GAUSSIAN_SIGMA,
            ignore_stuff_in_offset=cfg.INPUT.IGNORE_STUFF_IN_OFFSET,
            small_instance_area=cfg.INPUT.SMALL_INSTANCE_AREA,
            small_instance_weight=cfg.INPUT.SMALL_INSTANCE_WEIGHT,
            ignore_crowd_in_semantic=cfg.INPUT.IGNORE_CROWD_IN_SEMANTIC,
        )
        return {**options, "detectron2_model": PanopticDeepLab(cfg), "target_generator": generator}

    def forward(self, batched_inputs: list[dict[str, Any]]) -> dict[str, Tensor] | list[dict[str, Any]]:
        """Training: Detectron2's "loss_sem_seg", "loss_center", "loss_offset".

        Else Detectron2's list of {"sem_seg": (C, height, width), "panoptic_seg": (ids, segments_info)}.
        """
        if not self.training:
            return self.output_per_image(batched_inputs)
        items = [{"image": self._image(item), **self._targets(item)} for item in batched_inputs]
        with self._precision():
            losses: dict[str, Tensor] = PanopticDeepLab.forward(self, items)
        return losses

    def all_maps(self, features: dict[str, Tensor]) -> list[Tensor]:
        """See `DenseNetwork.all_maps`; logits, heatmap and offsets."""
        return [self.head(features), *self.head.ins_embed_head.layers(features)]  # type: ignore[operator]

    def output_per_image(self, batched_inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Detectron2's result of each image on its own, at its `height` x `width`, in the form of our contract."""
        outputs = []
        for item in batched_inputs:
            height, width = item["image"].shape[-2:]
            size = {"height": item.get("height", height), "width": item.get("width", width)}
            with self._precision():
                (output,) = PanopticDeepLab.forward(self, [{"image": self._image(item), **size}])
            instances = output.get("instances")
            scores = [] if instances is None else instances.scores.tolist()
            panoptic = convert_panoptic(
                output["panoptic_seg"][0], self.meta.label_divisor, self.target_generator.thing_ids, scores
            )
            outputs.append({"sem_seg": output["sem_seg"], "panoptic_seg": panoptic})
        return outputs

    def _image(self, item: dict[str, Any]) -> Tensor:
        """(3, H, W) in the channel order that Detectron2's normalisation expects."""
        image: Tensor = item["image"]
        return image.flip(0) if self.flip_channels else image

    def _targets(self, item: dict[str, Any]) -> dict[str, Tensor]:
        """Detectron2's training targets of one image, from our labels."""
        labels = panoptic_labels(
            item["sem_seg"].cpu().numpy(), item["instance_ids"].cpu().numpy(), self.target_generator.thing_ids
        )
        targets = self.target_generator(*labels)
        return {key: value for key, value in targets.items() if key != "center_points"}


def panoptic_labels(
    sem_seg: NDArray[np.int64], instance_ids: NDArray[np.int64], thing_ids: Collection[int]
) -> tuple[NDArray[np.int64], list[dict[str, Any]]]:
    """Our labels as a panoptic map and its `segments_info`, as Detectron2 reads them from a COCO panoptic file.

    Args:
        sem_seg: (H, W) train ids, 255 = void.
        instance_ids: (H, W), 0 = none, -1 = ignored; thing pixels with either are a crowd.
        thing_ids: classes with instances.

    Returns:
        (H, W) ids, of which void is the only one without a segment, and the segments: id, category_id, iscrowd.
    """
    has_instance = (instance_ids > 0) & np.isin(sem_seg, sorted(thing_ids))
    ids = np.where(has_instance, (VOID + 1) * instance_ids + sem_seg, sem_seg)
    segments = []
    for number in np.unique(ids).tolist():
        category = number % (VOID + 1)
        if category != VOID:
            is_crowd = category in thing_ids and number <= VOID
            segments.append({"id": number, "category_id": category, "iscrowd": int(is_crowd)})
    return ids, segments


def convert_panoptic(
    panoptic: Tensor, label_divisor: int, thing_ids: Collection[int], scores: list[float]
) -> tuple[Tensor, list[dict[str, Any]]]:
    """Detectron2's panoptic map in the form of our contract.

    Args:
        panoptic: (H, W) int64, class * label_divisor + number of the instance, -1 = void.
        label_divisor: above the number of instances of any class.
        thing_ids: classes with instances.
        scores: of the instances in ascending order of their ids; stuff gets 1.

    Returns:
        (H, W) int32 ids, 0 = void, and segments_info as of `merge_panoptic`.
    """
    values, index, areas = torch.unique(panoptic, return_inverse=True, return_counts=True)
    numbers = (values >= 0).cumsum(0) * (values >= 0)
    score_of_instance = iter(scores)
    segments = []
    for number, value, area in zip(numbers.tolist(), values.tolist(), areas.tolist()):
        if number > 0:
            category = value // label_divisor
            is_thing = category in thing_ids
            score = next(score_of_instance) if is_thing else 1.0
            segments.append(
                {"id": number, "category_id": category, "isthing": is_thing, "area": area, "score": float(score)}
            )
    return numbers[index].to(torch.int32), segments


def _to_float32(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
    return output.float()


def _to_channels_last(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
    """What `DenseNetwork` does with its images: convolutions are faster, their results the same."""
    return (inputs[0].contiguous(memory_format=torch.channels_last),)
