"""A detector around any network: what it is shown, what of its answer counts, and whose config and weights it has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ptseg_d2.detectors.detector import Detector, DetectorSpec, build_detector, detector_config
from ptseg_d2.errors import RecipeError
from ptseg_d2.recipe.configs import load_config

import numpy as np
import pytest
import torch
from detectron2 import model_zoo
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from numpy.typing import NDArray
from tiny import CONFIGS, small
from torch import nn

PERSON, RIDER, CAR, BICYCLE = 11, 12, 13, 18
SMALL = "coco_to_cityscapes/mask_rcnn_miniscapes.yaml"
ZOO = "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml"
CLASSES = ["MODEL.DETECTOR.CLASSES", "['dog', 'person', 'bicycle', 'car']", "MODEL.ROI_HEADS.NUM_CLASSES", "4"]


class Recorder(nn.Module):
    """Remembers what it is shown and gives one answer."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__()
        self.answer = answer
        self.shown: list[dict[str, Any]] = []

    def forward(self, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        assert not self.training and not torch.is_grad_enabled()
        self.shown += items
        return [self.answer]


def config(*overrides: str) -> CfgNode:
    return small(SMALL, *CLASSES, *overrides)


def instances(boxes: list[list[float]], classes: list[int], size: tuple[int, int] = (80, 100)) -> Instances:
    """Objects whose masks fill their boxes."""
    masks = torch.zeros(len(boxes), *size, dtype=torch.bool)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes):
        mask[int(y1) : int(y2), int(x1) : int(x2)] = True
    scores = torch.linspace(0.9, 0.5, len(boxes))
    found = Boxes(torch.tensor(boxes).reshape(-1, 4))
    return Instances(size, pred_boxes=found, pred_classes=torch.tensor(classes), scores=scores, pred_masks=masks)


@pytest.mark.parametrize(("channels", "first"), [("RGB", 0), ("BGR", 2)])
def test_the_network_sees_the_channels_and_the_size_of_its_config(channels: str, first: int) -> None:
    """4 x 8 pixels, whose shorter side becomes 6; their own size is that of the answer."""
    network = Recorder({"instances": instances([[0, 0, 1, 1]], [1])})
    keys = ["INPUT.FORMAT", channels, "INPUT.MIN_SIZE_TEST", "6", "INPUT.MAX_SIZE_TEST", "100"]
    image: NDArray[np.uint8] = np.full((4, 8, 3), (10, 20, 30), np.uint8)
    Detector(network, config(*keys)).outputs(image)
    (item,) = network.shown
    assert (item["height"], item["width"]) == (4, 8)
    assert item["image"].shape == (3, 6, 12) and item["image"].dtype == torch.float32
    colours = [10.0, 20.0, 30.0] if first == 0 else [30.0, 20.0, 10.0]
    assert item["image"].flatten(1).unique(dim=1).flatten().tolist() == colours
    assert (image == (10, 20, 30)).all()


@pytest.mark.parametrize(("longest", "size"), [("100", (4, 8)), ("6", (3, 6))])
def test_an_image_is_not_enlarged_beyond_the_longest_side(longest: str, size: tuple[int, int]) -> None:
    network = Recorder({"instances": instances([[0, 0, 1, 1]], [1])})
    keys = ["INPUT.MIN_SIZE_TEST", "4", "INPUT.MAX_SIZE_TEST", longest]
    Detector(network, config(*keys)).outputs(np.zeros((4, 8, 3), np.uint8))
    assert network.shown[0]["image"].shape[1:] == size


def test_what_is_no_detector_is_named() -> None:
    image = np.zeros((4, 8, 3), np.uint8)
    with pytest.raises(ValueError, match="Recorder predicts sem_seg, panoptic_seg and no instances: it is no detector"):
        Detector(Recorder({"sem_seg": 0, "panoptic_seg": 0}), config()).outputs(image)
    boxes_alone = instances([[0, 0, 1, 1]], [1])
    boxes_alone.remove("pred_masks")
    with pytest.raises(ValueError, match="predicts no masks: set MODEL.MASK_ON True"):
        Detector(Recorder({"instances": boxes_alone}), config()).outputs(image)


def test_outputs_become_objects_of_cityscapes() -> None:
    """A dog has no place, a mask without a pixel no object; the person sits on the bicycle."""
    person, bicycle = [20.0, 0.0, 40.0, 70.0], [0.0, 40.0, 60.0, 80.0]
    outputs = instances([[0, 0, 9, 9], person, bicycle, [70, 70, 90, 80], [99, 0, 99, 0]], [0, 1, 2, 3, 3])
    detector = Detector(Recorder({}), config("MODEL.DETECTOR.RIDERS", "False"))
    found = detector.cityscapes(outputs)
    assert found.classes.tolist() == [PERSON, BICYCLE, CAR]
    assert found.boxes.tolist() == [person, bicycle, [70, 70, 90, 80]]
    assert found.scores.tolist() == pytest.approx([0.8, 0.7, 0.6])
    assert found.masks.flatten(1).sum(1).tolist() == [20 * 70, 60 * 40, 20 * 10]
    assert detector.cityscapes(outputs, riders=True).classes.tolist() == [RIDER, BICYCLE, CAR]
    with_rule = Detector(Recorder({}), config("MODEL.DETECTOR.RIDERS", "True"))
    assert with_rule.cityscapes(outputs).classes.tolist() == [RIDER, BICYCLE, CAR]
    assert with_rule.cityscapes(outputs, riders=False).classes.tolist() == [PERSON, BICYCLE, CAR]


def test_a_detector_of_nothing_in_the_street_is_refused() -> None:
    animals = ["MODEL.DETECTOR.CLASSES", "['dog', 'cat']", "MODEL.ROI_HEADS.NUM_CLASSES", "2"]
    with pytest.raises(ValueError, match=r"none of the detector's classes \(dog, cat, ...\)"):
        Detector(Recorder({}), small(SMALL, *animals))


def test_config_of_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    file = str(CONFIGS / SMALL)
    own = load_config(CONFIGS / SMALL).MODEL.WEIGHTS
    assert detector_config(DetectorSpec("a", file)).MODEL.WEIGHTS == own
    cfg = detector_config(DetectorSpec("a", file, "mine.pth"), ["INPUT.MIN_SIZE_TEST", "77"])
    assert (cfg.MODEL.WEIGHTS, cfg.INPUT.MIN_SIZE_TEST) == ("mine.pth", 77)
    assert detector_config(DetectorSpec("a", file, "random")).MODEL.WEIGHTS == ""
    for available, device in ((False, "cpu"), (True, "cuda")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda available=available: available)
        assert detector_config(DetectorSpec("a", file), ["MODEL.DEVICE", "cuda"]).MODEL.DEVICE == device
    with pytest.raises(RecipeError, match=r"MODEL\.NO_KEY"):
        detector_config(DetectorSpec("a", file), ["MODEL.NO_KEY", "1"])


def test_config_of_the_model_zoo() -> None:
    assert detector_config(DetectorSpec("zoo", ZOO)).MODEL.WEIGHTS == model_zoo.get_checkpoint_url(ZOO)
    assert detector_config(DetectorSpec("zoo", ZOO, "mine.pth")).MODEL.WEIGHTS == "mine.pth"
    with pytest.raises(FileNotFoundError, match="config nowhere.yaml of zoo is neither a file nor a name of"):
        detector_config(DetectorSpec("zoo", "nowhere.yaml"))


def flat(node: Any, prefix: str = "") -> dict[str, Any]:
    """Keys below MODEL and of test images, "MODEL.FPN.NORM" -> value."""
    if not isinstance(node, CfgNode):
        return {prefix[:-1]: node}
    return {k: v for key, value in node.items() for k, v in flat(value, f"{prefix}{key}.").items()}


def test_our_mask_rcnn_is_the_zoos() -> None:
    ours = flat(load_config(CONFIGS / "coco_to_cityscapes" / "mask_rcnn_R_50_FPN_3x.yaml"))
    zoo = flat(detector_config(DetectorSpec("zoo", ZOO)))
    different = {key for key in zoo if zoo[key] != ours[key]}
    assert ours["MODEL.WEIGHTS"].replace("detectron2://", "") in model_zoo.get_checkpoint_url(ZOO)
    assert {key.split(".")[0] for key in different - {"MODEL.WEIGHTS", "MODEL.DEVICE"}} == {
        *("INPUT", "DATASETS", "SOLVER", "RECIPE", "OUTPUT_DIR")
    }
    assert {key for key in different if key.startswith("INPUT")} == {"INPUT.MIN_SIZE_TRAIN"}


def test_a_built_detector_has_the_weights_of_its_config(tmp_path: Path) -> None:
    torch.manual_seed(1)
    theirs = build_model(small(SMALL)).state_dict()
    torch.save({"model": theirs}, tmp_path / "model_final.pth")
    torch.manual_seed(2)
    detector = build_detector(small(SMALL, "MODEL.WEIGHTS", str(tmp_path / "model_final.pth")))
    assert not detector.model.training
    assert [name for name, value in detector.model.state_dict().items() if not torch.equal(value, theirs[name])] == []
