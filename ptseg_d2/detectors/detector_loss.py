"""Meta-architecture that trains Detectron2's detectors on the label maps of our source images.

Shapes: H x W pixels, K objects.
"""

from __future__ import annotations

from typing import Any

from ptseg_d2.classes.coco import COCO_CLASSES, outputs_of_train_ids

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.modeling.meta_arch import GeneralizedRCNN
from detectron2.structures import BitMasks, Instances
from torch import Tensor


@META_ARCH_REGISTRY.register()
class LabelledRCNN(GeneralizedRCNN):
    """`GeneralizedRCNN` whose training images carry `sem_seg` and `instance_ids` instead of `instances`.

    Weights have the names of `GeneralizedRCNN`'s, and evaluation is the same: images in cfg.INPUT.FORMAT.
    """

    output_of: Tensor

    @configurable
    def __init__(self, *, output_of: list[int], flip_channels: bool, **options: Any) -> None:
        """
        Args:
            output_of: number of the output for each train id; -1 = not a class of the detector.
            flip_channels: the backbone expects BGR; training images are RGB.
            options: those of `GeneralizedRCNN`.
        """
        super().__init__(**options)
        self.flip_channels = flip_channels
        self.register_buffer("output_of", torch.tensor(output_of), persistent=False)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Everything as in `GeneralizedRCNN`; the classes from MODEL.DETECTOR.CLASSES."""
        return {
            **super().from_config(cfg),
            "output_of": outputs_of_train_ids(detector_classes(cfg)).tolist(),
            "flip_channels": cfg.INPUT.FORMAT == "BGR",
        }

    def forward(self, batched_inputs: list[dict[str, Any]]) -> Any:
        """Training: losses on a batch of our source images. Else as `GeneralizedRCNN`."""
        if not self.training:
            return super().forward(batched_inputs)
        batched_inputs = [self._with_instances(item) for item in batched_inputs]
        if any(len(item["instances"]) for item in batched_inputs) or not self.roi_heads.mask_on:
            return super().forward(batched_inputs)
        return self._losses_without_objects(batched_inputs)

    def _losses_without_objects(self, batched_inputs: list[dict[str, Any]]) -> dict[str, Tensor]:
        """As the training `forward`, with a mask loss of 0: PointRend's mask head fails on a batch without objects."""
        self.roi_heads.mask_on = False
        try:
            losses: dict[str, Tensor] = super().forward(batched_inputs)
        finally:
            self.roi_heads.mask_on = True
        zero = torch.stack([parameter.sum() for parameter in self.roi_heads.mask_head.parameters()]).sum() * 0
        if getattr(self.roi_heads.mask_head, "mask_point_on", False):
            losses["loss_mask_point"] = zero
        return {**losses, "loss_mask": zero}

    def _with_instances(self, item: dict[str, Any]) -> dict[str, Any]:
        image = item["image"].flip(0) if self.flip_channels else item["image"]
        objects = objects_of_labels(item["sem_seg"], item["instance_ids"], self.output_of.cpu())
        return {"image": image, "instances": objects, "height": image.shape[1], "width": image.shape[2]}


def objects_of_labels(sem_seg: Tensor, instance_ids: Tensor, output_of: Tensor) -> Instances:
    """Objects of a label map as a detector learns them.

    Regions of objects that nobody told apart (instance id -1) are background: the losses of Detectron2's detectors
    cannot leave a region out.

    Args:
        sem_seg: (H, W) int64 train ids, 255 = void.
        instance_ids: (H, W) int64, 1..K = instances, each of one class.
        output_of: (C,) int64 number of the output for each train id, -1 = none.

    Returns:
        `gt_classes` (K',), `gt_boxes`, `gt_masks` of the K' <= K instances of known classes, in the order of their ids.
    """
    numbers = instance_ids[instance_ids > 0].unique()
    masks = instance_ids == numbers[:, None, None]
    # Every pixel of an instance has its class; the largest position is one of them.
    classes = torch.stack([sem_seg[mask].mode().values for mask in masks]) if len(numbers) else numbers
    outputs = torch.where(classes < len(output_of), output_of[classes.clamp(max=len(output_of) - 1)], -1)
    known = BitMasks(masks[outputs >= 0])
    return Instances(
        (sem_seg.shape[0], sem_seg.shape[1]),
        gt_classes=outputs[outputs >= 0],
        gt_boxes=known.get_bounding_boxes(),
        gt_masks=known,
    )


def detector_classes(cfg: CfgNode) -> tuple[str, ...]:
    """Names of a detector's outputs: MODEL.DETECTOR.CLASSES, by default those of COCO.

    Raises:
        ValueError: there are not MODEL.ROI_HEADS.NUM_CLASSES of them.
    """
    names = tuple(cfg.MODEL.DETECTOR.CLASSES) or COCO_CLASSES
    if len(names) != cfg.MODEL.ROI_HEADS.NUM_CLASSES:
        raise ValueError(
            f"the detector has MODEL.ROI_HEADS.NUM_CLASSES = {cfg.MODEL.ROI_HEADS.NUM_CLASSES} outputs, but "
            f"MODEL.DETECTOR.CLASSES names {len(names)} ({', '.join(names[:4])}, ...); name each output in its order"
        )
    return names
