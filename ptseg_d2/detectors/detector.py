"""A detector of Detectron2 on RGB images: weights, resize, channel order, forward, Cityscapes' classes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from ptseg_d2.classes.coco import train_ids_of
from ptseg_d2.config.loading import merged_config
from ptseg_d2.detectors.detections import Detections, in_cityscapes_classes
from ptseg_d2.detectors.detector_loss import detector_classes
from ptseg_d2.training.checkpoints import load_weights

import numpy as np
import torch
from detectron2 import model_zoo
from detectron2.config import CfgNode
from detectron2.data.transforms import ResizeShortestEdge
from detectron2.modeling import build_model
from numpy.typing import NDArray
from torch import nn

RANDOM = "random"
"""In place of weights: leave the detector as it was initialised."""


class DetectorSpec(NamedTuple):
    """A detector to evaluate.

    Attributes:
        name: in tables and files.
        config: YAML file of ours or of Detectron2, or a name of the model zoo ("COCO-InstanceSegmentation/....yaml").
        weights: file or address; "" = those of the config, "random" = none.
    """

    name: str
    config: str
    weights: str = ""


def detector_config(spec: DetectorSpec, overrides: Sequence[str] = ()) -> CfgNode:
    """The config of a detector with its weights in MODEL.WEIGHTS; on the CPU where there is no GPU.

    Raises:
        FileNotFoundError: there is no such file, and no such name in the model zoo.
        RecipeError: a key is unknown.
    """
    file, weights = spec.config, spec.weights
    if not os.path.isfile(file):
        try:
            file = model_zoo.get_config_file(spec.config)
            weights = weights or model_zoo.get_checkpoint_url(spec.config)
        except RuntimeError as error:
            raise FileNotFoundError(
                f"config {spec.config} of {spec.name} is neither a file nor a name of Detectron2's model zoo"
            ) from error
    cfg = merged_config([file], overrides)
    cfg.defrost()
    if weights:
        cfg.MODEL.WEIGHTS = "" if weights == RANDOM else weights
    if not torch.cuda.is_available():
        cfg.MODEL.DEVICE = "cpu"
    cfg.freeze()
    return cfg


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
            ValueError: the model predicts no instances, or none with masks.
        """
        height, width = image.shape[:2]
        pixels = image[..., ::-1] if self._flip else image
        resized = self._resize.get_transform(pixels).apply_image(np.ascontiguousarray(pixels))
        tensor = torch.as_tensor(resized.astype(np.float32).transpose(2, 0, 1).copy())
        output = self.model([{"image": tensor, "height": height, "width": width}])[0]
        if "instances" not in output:
            raise ValueError(
                f"{type(self.model).__name__} predicts {', '.join(output)} and no instances: it is no detector; set "
                "MODEL.META_ARCHITECTURE GeneralizedRCNN or LabelledRCNN"
            )
        instances = output["instances"].to("cpu")
        if not instances.has("pred_masks"):
            raise ValueError("the detector predicts no masks: set MODEL.MASK_ON True, and weights with a mask head")
        return instances

    def cityscapes(self, instances: Any, riders: bool | None = None) -> Detections:
        """Those outputs that are objects of Cityscapes, in its classes.

        Args:
            instances: from `outputs`.
            riders: whether persons on two wheels become riders; None = as MODEL.DETECTOR.RIDERS says.
        """
        found = Detections(
            instances.pred_boxes.tensor, instances.pred_classes, instances.scores, instances.pred_masks.bool()
        )
        return in_cityscapes_classes(found, self.train_ids, self.riders if riders is None else riders)


def build_detector(cfg: CfgNode) -> Detector:
    """A detector with the weights of its config; errors as from `load_weights` and `Detector`."""
    model = build_model(cfg)
    detector = Detector(model, cfg)
    load_weights(model, cfg.MODEL.WEIGHTS)
    return detector
