"""A detector of Detectron2 on RGB images: resize, channel order, forward, Cityscapes' classes."""

from __future__ import annotations

from typing import Any

from ptseg_d2.data.coco_classes import train_ids_of
from ptseg_d2.inference.detections import Detections, in_cityscapes_classes
from ptseg_d2.modeling.labelled_rcnn import detector_classes

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data.transforms import ResizeShortestEdge
from numpy.typing import NDArray
from torch import nn


class Detector:
    """Predicts as Detectron2's `DefaultPredictor`, which wants BGR images and loads the weights itself."""

    def __init__(self, model: nn.Module, cfg: CfgNode) -> None:
        """
        Args:
            model: `GeneralizedRCNN` or the like, with weights.
            cfg: its config: INPUT.FORMAT, INPUT.*_TEST and MODEL.DETECTOR.

        Raises:
            ValueError: its outputs are not named, or are no objects of Cityscapes.
        """
        self.model = model.eval()
        self.class_names = detector_classes(cfg)
        self.train_ids = torch.from_numpy(train_ids_of(self.class_names))
        self.riders: bool = cfg.MODEL.DETECTOR.RIDERS
        self._flip = cfg.INPUT.FORMAT == "BGR"
        self._resize = ResizeShortestEdge([cfg.INPUT.MIN_SIZE_TEST] * 2, cfg.INPUT.MAX_SIZE_TEST)

    @torch.no_grad()
    def outputs(self, image: NDArray[np.uint8]) -> Any:
        """Detectron2's `Instances`, on the CPU.

        Args:
            image: (H, W, 3) RGB.

        Raises:
            ValueError: the model predicts no masks.
        """
        height, width = image.shape[:2]
        pixels = image[..., ::-1] if self._flip else image
        resized = self._resize.get_transform(pixels).apply_image(np.ascontiguousarray(pixels))
        tensor = torch.as_tensor(resized.astype(np.float32).transpose(2, 0, 1).copy())
        instances = self.model([{"image": tensor, "height": height, "width": width}])[0]["instances"].to("cpu")
        if not instances.has("pred_masks"):
            raise ValueError("the detector predicts no masks: set MODEL.MASK_ON True, and weights with a mask head")
        return instances

    def cityscapes(self, instances: Any) -> Detections:
        """Those outputs that are objects of Cityscapes, in its classes."""
        found = Detections(
            instances.pred_boxes.tensor, instances.pred_classes, instances.scores, instances.pred_masks.bool()
        )
        return in_cityscapes_classes(found, self.train_ids, self.riders)
