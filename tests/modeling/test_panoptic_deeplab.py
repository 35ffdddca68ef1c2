"""Detectron2's Panoptic-DeepLab between our formats: labels in, panoptic result out."""

from __future__ import annotations

from typing import Any

from ptseg_d2.modeling.panoptic_deeplab import PanopticDeepLabNetwork, convert_panoptic, panoptic_labels

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model
from detectron2.projects.panoptic_deeplab import PanopticDeepLab
from detectron2.projects.panoptic_deeplab.target_generator import PanopticDeepLabTargetGenerator
from tiny import small
from torch import tensor

# oneDNN of torch 2.12 frees memory twice in the backward pass of convolutions of 4 channels, on CPUs with AVX2 only.
NARROW_DEEPLAB = [
    *("MODEL.RESNETS.STEM_OUT_CHANNELS", "8", "MODEL.RESNETS.RES2_OUT_CHANNELS", "16"),
    *("MODEL.SEM_SEG_HEAD.PROJECT_CHANNELS", "[4, 4]", "MODEL.SEM_SEG_HEAD.ASPP_CHANNELS", "8"),
    *("MODEL.SEM_SEG_HEAD.HEAD_CHANNELS", "8", "MODEL.INS_EMBED_HEAD.PROJECT_CHANNELS", "[4, 4]"),
    *("MODEL.INS_EMBED_HEAD.ASPP_CHANNELS", "8", "MODEL.INS_EMBED_HEAD.CONVS_DIM", "8"),
    *("MODEL.INS_EMBED_HEAD.HEAD_CHANNELS", "4"),
]
CAR, ROAD = 13, 0


def build(*overrides: str) -> PanopticDeepLabNetwork:
    torch.manual_seed(0)
    model = build_model(small("panoptic_deeplab.yaml", *NARROW_DEEPLAB, *overrides))
    assert isinstance(model, PanopticDeepLabNetwork)
    return model


def item() -> dict[str, Any]:
    sem_seg, ids = torch.full((32, 64), ROAD), torch.zeros(32, 64, dtype=torch.int64)
    sem_seg[8:24, 4:56] = CAR
    ids[8:24, 4:28], ids[8:24, 28:52], ids[8:24, 52:56] = 1, 2, -1
    sem_seg[:4, :8] = 255
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (3, 32, 64), dtype=torch.uint8, generator=generator)
    return {"image": image, "sem_seg": sem_seg, "instance_ids": ids}


def test_labels_become_segments() -> None:
    """Road, two cars, a crowd of cars, void; an instance id on a stuff class says nothing."""
    sem_seg = np.array([[0, 0, 13, 13, 13, 255]])
    ids = np.array([[0, 5, 1, 2, -1, 0]])
    panoptic, segments = panoptic_labels(sem_seg, ids, {13})
    assert panoptic.tolist() == [[0, 0, 256 + 13, 512 + 13, 13, 255]]
    assert [(s["id"], s["category_id"], s["iscrowd"]) for s in segments] == [
        (0, 0, 0),
        (13, 13, 1),
        (269, 13, 0),
        (525, 13, 0),
    ]


def test_detectron2_makes_its_targets_of_them() -> None:
    request = item()
    generator = PanopticDeepLabTargetGenerator(255, (CAR,), sigma=2, ignore_stuff_in_offset=True)
    labels = panoptic_labels(request["sem_seg"].numpy(), request["instance_ids"].numpy(), {CAR})
    targets = generator(*labels)
    assert torch.equal(targets["sem_seg"], request["sem_seg"])
    ignored = (request["sem_seg"] == 255) | (request["instance_ids"] < 0)
    assert torch.equal(targets["center_weights"][0] == 0, ignored)
    assert torch.equal(targets["offset_weights"][0] == 1, request["instance_ids"] > 0)
    assert targets["center"][16, 16] == 1 and targets["center"][16, 40] == 1
    assert targets["offset"][:, 8, 4].tolist() == [7.5, 11.5]


def test_output_is_converted() -> None:
    """Class 13 has instances 1 and 2, class 0 is stuff, -1 is void."""
    panoptic = tensor([[0, 0, 0, 13001], [13002, 13002, -1, 13001]])
    ids, segments = convert_panoptic(panoptic, 1000, {13}, [0.9, 0.4])
    assert ids.dtype == torch.int32 and ids.tolist() == [[1, 1, 1, 2], [3, 3, 0, 2]]
    assert segments == [
        {"id": 1, "category_id": 0, "isthing": False, "area": 3, "score": 1.0},
        {"id": 2, "category_id": 13, "isthing": True, "area": 2, "score": 0.9},
        {"id": 3, "category_id": 13, "isthing": True, "area": 2, "score": 0.4},
    ]


def test_void_alone_has_no_segment() -> None:
    ids, segments = convert_panoptic(torch.full((2, 2), -1), 1000, {13}, [])
    assert not ids.any() and segments == []


def test_losses_are_detectron2s() -> None:
    """The same numbers as its own model with the same weights, fed by its own target generator."""
    model = build().train()
    request = item()
    losses = model([request, request])
    assert isinstance(losses, dict) and set(losses) == {"loss_sem_seg", "loss_center", "loss_offset"}
    torch.stack(list(losses.values())).sum().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []

    cfg = small("panoptic_deeplab.yaml", *NARROW_DEEPLAB, "MODEL.SEM_SEG_HEAD.ASPP_DROPOUT", "0.0")
    cfg.defrost()
    cfg.MODEL.INS_EMBED_HEAD.ASPP_DROPOUT = 0.0
    ours = build_model(cfg).train()
    cfg.MODEL.META_ARCHITECTURE = "PanopticDeepLab"
    cfg.DATASETS.TRAIN = cfg.DATASETS.SOURCE
    theirs = PanopticDeepLab(cfg).train()
    theirs.load_state_dict({name.removeprefix("head."): value for name, value in ours.state_dict().items()})
    generator = PanopticDeepLabTargetGenerator(
        255,
        tuple(theirs.meta.thing_dataset_id_to_contiguous_id.values()),
        sigma=cfg.INPUT.GAUSSIAN_SIGMA,
        ignore_stuff_in_offset=True,
        small_instance_area=cfg.INPUT.SMALL_INSTANCE_AREA,
        small_instance_weight=cfg.INPUT.SMALL_INSTANCE_WEIGHT,
    )
    labels = panoptic_labels(request["sem_seg"].numpy(), request["instance_ids"].numpy(), {CAR})
    expected = theirs([{"image": request["image"], **generator(*labels)}] * 2)
    for name, loss in ours([request, request]).items():
        torch.testing.assert_close(loss, expected[name])


def test_output_is_detectron2s_in_our_form() -> None:
    model = build("MODEL.PANOPTIC_DEEPLAB.CENTER_THRESHOLD", "-1.0", "MODEL.PANOPTIC_DEEPLAB.STUFF_AREA", "1").eval()
    torch.nn.init.normal_(model.head.sem_seg_head.predictor.weight)  # type: ignore[union-attr, arg-type]
    torch.nn.init.normal_(model.head.ins_embed_head.center_predictor.weight)  # type: ignore[union-attr, arg-type]
    with torch.no_grad():
        (output,) = model([{**item(), "height": 40, "width": 70}])
        logits = model.predict(item()["image"][None])["sem_seg"]
    assert output["sem_seg"].shape == (19, 40, 70) and logits.shape == (1, 19, 32, 64)
    ids, segments = output["panoptic_seg"]
    assert ids.shape == (40, 70) and ids.dtype == torch.int32
    assert {s["id"] for s in segments} == set(ids.unique().tolist()) - {0}
    for segment in segments:
        inside = ids == segment["id"]
        assert segment["area"] == int(inside.sum())
        if not segment["isthing"]:
            assert (output["sem_seg"].argmax(0)[inside] == segment["category_id"]).all()


def test_dense_logits_are_those_of_the_output() -> None:
    model = build().eval()
    with torch.no_grad():
        (output,) = model([item()])
        torch.testing.assert_close(model.predict(item()["image"][None])["sem_seg"][0], output["sem_seg"])


@pytest.mark.parametrize("value", [255, ROAD, CAR])
def test_an_image_of_one_class_is_finite(value: int) -> None:
    model = build().train()
    request = item()
    request["sem_seg"] = torch.full((32, 64), value)
    request["instance_ids"] = torch.full((32, 64), 1 if value == CAR else 0)
    assert all(loss.isfinite() for loss in model([request, request]).values())


def test_state_survives_a_checkpoint() -> None:
    model, other = build().eval(), build()
    torch.nn.init.normal_(model.head.sem_seg_head.predictor.weight)  # type: ignore[union-attr, arg-type]
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert torch.equal(model([item()])[0]["sem_seg"], other.eval()([item()])[0]["sem_seg"])
