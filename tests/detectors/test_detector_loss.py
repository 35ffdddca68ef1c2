"""Label maps as a detector's training objects."""

from __future__ import annotations

from typing import Any

from ptseg_d2.detectors.detector_loss import LabelledRCNN, detector_classes, objects_of_labels

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage
from tiny import small

CAR, PERSON, ROAD = 13, 11, 0
DETECTOR = "coco_to_cityscapes/mask_rcnn_miniscapes.yaml"


def test_objects_by_hand() -> None:
    """Instance 1 is a car, 2 a person, 5 of an unknown class, -1 nobody knows."""
    sem_seg = torch.tensor([[CAR, CAR, ROAD, 255], [CAR, PERSON, PERSON, CAR]])
    ids = torch.tensor([[1, 1, 0, 5], [1, 2, 2, -1]])
    output_of = torch.full((19,), -1)
    output_of[CAR], output_of[PERSON] = 2, 0
    objects = objects_of_labels(sem_seg, ids, output_of)
    assert objects.gt_classes.tolist() == [2, 0]
    assert objects.gt_boxes.tensor.tolist() == [[0, 0, 2, 2], [1, 1, 3, 2]]
    assert objects.gt_masks.tensor.int().tolist() == [[[1, 1, 0, 0], [1, 0, 0, 0]], [[0, 0, 0, 0], [0, 1, 1, 0]]]


def test_an_image_without_objects() -> None:
    nothing = torch.zeros(4, 6, dtype=torch.int64)
    objects = objects_of_labels(nothing, nothing, torch.zeros(19, dtype=torch.int64))
    assert len(objects) == 0 and objects.image_size == (4, 6) and objects.gt_masks.tensor.shape == (0, 4, 6)


def batch(num_objects: int) -> list[dict[str, Any]]:
    sem_seg = torch.zeros(64, 128, dtype=torch.int64)
    ids = torch.zeros_like(sem_seg)
    for number in range(num_objects):
        where = (slice(10, 40), slice(40 * number, 40 * number + 30))
        sem_seg[where], ids[where] = CAR, number + 1
    image = torch.zeros(3, 64, 128, dtype=torch.uint8)
    image[0] = 200  # red
    return [{"image": image, "sem_seg": sem_seg, "instance_ids": ids, "domain": "source"}]


@pytest.mark.parametrize("name", ["mask_rcnn_miniscapes", "pointrend_miniscapes"])
@pytest.mark.parametrize("num_objects", [0, 2])
def test_losses_are_finite_and_train(name: str, num_objects: int) -> None:
    torch.manual_seed(0)
    model = build_model(small(f"coco_to_cityscapes/{name}.yaml")).train()
    with EventStorage():
        losses = model(batch(num_objects))
    assert all(key.startswith("loss_") and torch.isfinite(value) for key, value in losses.items())
    sum(losses.values()).backward()
    assert any(p.grad is not None and p.grad.any() for p in model.backbone.parameters())


def test_training_images_come_in_the_order_of_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build_model(small(DETECTOR, "INPUT.FORMAT", "BGR"))
    assert isinstance(model, LabelledRCNN)
    assert model._with_instances(batch(1)[0])["image"][:, 0, 0].tolist() == [0, 0, 200]


def test_every_output_needs_a_name() -> None:
    assert len(detector_classes(small("coco_to_cityscapes/mask_rcnn_R_50_FPN_3x.yaml"))) == 80
    with pytest.raises(ValueError, match=r"NUM_CLASSES = 3 outputs, but MODEL.DETECTOR.CLASSES names 7 \(person"):
        detector_classes(small(DETECTOR, "MODEL.ROI_HEADS.NUM_CLASSES", "3"))
