"""EINet as a network: losses, the off switch, panoptic output, state."""

from __future__ import annotations

from typing import Any

from ptseg_d2.losses.centers import center_targets
from ptseg_d2.modeling.einet.decoders import EINetMaps
from ptseg_d2.modeling.einet.meta_arch import EINet
from ptseg_d2.modeling.embedding_net import shrink_labels
from ptseg_d2.modeling.teachers.semantic_teacher import SemanticMomentumTeacher

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage
from tiny import small
from torch import nn

# oneDNN of torch 2.12 frees memory twice in the backward pass of convolutions of 4 channels, on CPUs with AVX2 only.
NARROW_EINET = [
    *("MODEL.RESNETS.STEM_OUT_CHANNELS", "8", "MODEL.RESNETS.RES2_OUT_CHANNELS", "16"),
    *("MODEL.EINET.CONVS_DIM", "8", "MODEL.EINET.LOW_LEVEL_CHANNELS", "[4, 4]"),
    *("MODEL.EINET.DECODER_CHANNELS", "[8, 8]", "MODEL.EINET.HEAD_CHANNELS", "4"),
]
CAR, ROAD = 13, 0


def build(*overrides: str) -> EINet:
    torch.manual_seed(0)
    model = build_model(small("einet.yaml", *NARROW_EINET, *overrides))
    assert isinstance(model, EINet)
    return model


def item(height: int = 32, width: int = 64, seed: int = 0) -> dict[str, Any]:
    """Two cars on the road, one of them ignored in the last rows, and a void corner."""
    generator = torch.Generator().manual_seed(seed)
    sem_seg = torch.full((height, width), ROAD)
    ids = torch.zeros(height, width, dtype=torch.int64)
    sem_seg[8:24, 4:56] = CAR
    ids[8:24, 4:28], ids[8:24, 28:56] = 1, 2
    ids[20:24, 28:56] = -1
    sem_seg[:4, :8] = 255
    image = torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator)
    return {"image": image, "sem_seg": sem_seg, "instance_ids": ids}


@pytest.mark.parametrize("kind", ["mse", "focal"])
@pytest.mark.parametrize("interaction", ["True", "False"])
def test_losses_reach_every_weight(kind: str, interaction: str) -> None:
    model = build("MODEL.EINET.CENTER_LOSS", kind, "MODEL.EINET.INTERACTION", interaction).train()
    # A first step: what begins as the identity hides the gradient of what it is guided by.
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    for _ in range(2):
        optimizer.zero_grad()
        losses = model([item(seed=0), item(seed=1)])
        assert isinstance(losses, dict) and set(losses) == {"loss_sem_seg", "loss_center", "loss_offset"}
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
    assert all(loss.isfinite() for loss in losses.values())
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_switched_off_it_is_two_plain_branches() -> None:
    """Same weights, no dictionary: what the branches and their predictors say by themselves."""
    model = build("MODEL.EINET.INTERACTION", "False").eval()
    assert not any("interaction" in name for name in model.state_dict())
    image = item()["image"][None]
    with torch.no_grad():
        found = model.predict_maps(image)
        pixels = (image.float() - model.pixel_mean) / model.pixel_std
        features = model.backbone(pixels)
        semantic, instance = model.head.semantic(features), model.head.instance(features)
        torch.testing.assert_close(found.sem_seg, semantic)
        torch.testing.assert_close(found.heatmap, model.head.heatmap(instance))
        torch.testing.assert_close(found.offsets, 4 * model.head.offsets(instance))


def test_before_training_the_interaction_changes_nothing() -> None:
    """An empty dictionary has no evidence, and modulations begin as the identity."""
    plain, model = build("MODEL.EINET.INTERACTION", "False").eval(), build().eval()
    model.load_state_dict(plain.state_dict(), strict=False)
    with torch.no_grad():
        for one, other in zip(plain.predict_maps(item()["image"][None]), model.predict_maps(item()["image"][None])):
            torch.testing.assert_close(one, other)


def test_evaluation_leaves_the_dictionary_alone_and_training_does_not() -> None:
    model = build().train()
    assert model.head.interaction is not None
    dictionary = model.head.interaction.dictionary
    model([item()])
    assert dictionary.seen.nonzero()[:, 0].tolist() == [ROAD, CAR]
    before = dictionary.centers.clone()
    model.predict_strided(item()["image"][None])  # training mode, but no labels: as on target images
    with torch.no_grad():
        model.eval()([item(seed=1)])
    assert torch.equal(dictionary.centers, before)
    model.train()([item(seed=1)])
    assert not torch.equal(dictionary.centers, before)


def test_dictionary_is_in_the_checkpoint() -> None:
    model, other = build().train(), build()
    model([item()])
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        outputs = [network.eval()([item()]) for network in (model, other)]
    assert torch.equal(outputs[0][0]["sem_seg"], outputs[1][0]["sem_seg"])


@pytest.mark.parametrize("size", [(32, 64), (33, 50)])
def test_output_is_detectron2s(size: tuple[int, int]) -> None:
    model = build("EVAL.CENTERS.THRESHOLD", "-1.0").eval()
    nn.init.normal_(model.head.semantic.predictor.weight)
    request = {**item(*size), "height": 40, "width": 70}
    with torch.no_grad():
        (output,) = model([request])
    assert output["sem_seg"].shape == (19, 40, 70)
    ids, segments = output["panoptic_seg"]
    assert ids.shape == (40, 70) and ids.dtype == torch.int32
    assert {segment["id"] for segment in segments} == set(ids.unique().tolist()) - {0}
    assert all(0 <= segment["score"] <= 1 for segment in segments)
    assert all(segment["area"] == int((ids == segment["id"]).sum()) for segment in segments)


def perfect(model: EINet, request: dict[str, Any]) -> EINetMaps:
    """What the head would say, at its stride of 4, were it never wrong; the request's sides are multiples of 4."""
    sem_seg, ids = (request["sem_seg"] % 255)[None], request["instance_ids"][None]  # void becomes road
    size = (sem_seg.shape[1] // 4, sem_seg.shape[2] // 4)
    small_sem_seg, small_ids = shrink_labels(sem_seg, size), shrink_labels(ids, size)
    targets = center_targets(small_sem_seg, small_ids, model.center_options.thing_ids, fixed_sigma=0.5, min_overlap=0.5)
    logits = 20 * nn.functional.one_hot(small_sem_seg, 19).permute(0, 3, 1, 2).float()
    return EINetMaps(logits, targets.heatmap, 4 * targets.offsets)


def test_perfect_maps_give_the_instances_whatever_the_output_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Maps made of the labels, through the post-processing at twice the size: both cars, whole."""
    model, request = build().eval(), item()
    request["instance_ids"][20:24, 28:56] = 2
    monkeypatch.setattr(model.head, "maps", lambda features: perfect(model, request))
    ids_found, segments = model.output_per_image([{**request, "height": 64, "width": 128}])[0]["panoptic_seg"]
    cars = [s for s in segments if s["category_id"] == CAR]
    assert [s["area"] for s in cars] == pytest.approx([4 * 16 * 24, 4 * 16 * 28], rel=0.03)
    assert len(ids_found[32, 8:56].unique()) == 1


@pytest.mark.parametrize(("kernel", "num_centers"), [("3", 2), ("5", 1)])
def test_padding_does_not_change_the_neighbourhood_of_a_centre(
    monkeypatch: pytest.MonkeyPatch, kernel: str, num_centers: int
) -> None:
    """Two peaks two heatmap pixels apart: two centres for a kernel of 3, one for 5, wherever the image ends."""
    model, request = build("EVAL.CENTERS.NMS_KERNEL", kernel).eval(), item()
    maps = perfect(model, request)
    car = model.center_options.thing_ids.index(CAR)
    maps.heatmap[0].zero_()
    maps.heatmap[0, car, 4, 5], maps.heatmap[0, car, 4, 7] = 1.0, 0.9
    maps.offsets.zero_()
    monkeypatch.setattr(model.head, "maps", lambda features: maps)
    whole = model.output_per_image([request])[0]["panoptic_seg"][0]
    assert len(whole[10:22, 8:52].unique()) == num_centers
    cropped = {**request, "image": request["image"][:, :31, :62]}
    assert torch.equal(model.output_per_image([cropped])[0]["panoptic_seg"][0], whole[:31, :62])


@pytest.mark.parametrize("sem_value", [255, CAR, ROAD])
def test_images_without_an_instance_are_finite(sem_value: int) -> None:
    model = build().train()
    empty = item()
    empty["sem_seg"] = torch.full((32, 64), sem_value)
    empty["instance_ids"] = torch.full((32, 64), -1 if sem_value != ROAD else 0)
    losses = model([empty, empty])
    torch.stack(list(losses.values())).sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    assert losses["loss_offset"].item() == 0
    assert (losses["loss_center"].item() > 0) == (sem_value == ROAD)


def test_crops_that_are_no_multiple_of_the_stride_can_be_trained_on() -> None:
    losses = build().train()([item(33, 50), item(33, 50)])
    assert all(loss.isfinite() and loss > 0 for loss in losses.values())


def test_it_can_be_a_student() -> None:
    """Momentum teacher on the semantic head; the instance losses and the dictionary are the source images' alone."""
    torch.manual_seed(0)
    model = build_model(small("einet_selftrain.yaml", *NARROW_EINET)).train()
    assert isinstance(model, SemanticMomentumTeacher) and isinstance(model.student, EINet)
    views = torch.randint(0, 256, (2, 3, 32, 64), dtype=torch.uint8)
    identity = torch.tensor([[1.0, 0, 0], [0, 1.0, 0]]).expand(2, -1, -1)
    target = {"student_views": views, "teacher_views": views, "thetas": identity, "domain": "target"}
    with EventStorage():
        losses = model([{**item(), "domain": "source"}, target])
    names = {f"loss_{name}_source" for name in ("sem_seg", "center", "offset")}
    assert set(losses) == names | {"loss_sem_seg_target", "loss_sem_seg_masked_target"}
    torch.stack(list(losses.values())).sum().backward()
    assert model.student.head.interaction is not None
    assert model.student.head.interaction.dictionary.seen.nonzero()[:, 0].tolist() == [ROAD, CAR]
    model.update_teacher_(0.5)
    with torch.no_grad():
        assert set(model.eval()([item()])[0]) == {"sem_seg", "panoptic_seg"}


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("MODEL.EINET.CENTER_LOSS", "l1", "expected 'mse' or 'focal'"),
        ("EVAL.CENTERS.SCORE", "both", "expected 'objectness' or 'semantic' or 'product'"),
        ("EVAL.CENTERS.NMS_KERNEL", "4", "NMS_KERNEL = 4; expected an odd number"),
        ("MODEL.EINET.DECODER_CHANNELS", "[8]", r"MODEL.EINET: the low-level features \['res2', 'res3'\] need"),
        ("MODEL.EINET.IN_FEATURES", "['res3', 'res3', 'res5']", "begin at stride 8 but .* at stride 4"),
    ],
)
def test_bad_options_name_their_key(key: str, value: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(key, value)


def test_a_fixed_radius_needs_a_size() -> None:
    with pytest.raises(ValueError, match="FIXED_SIGMA = 0.0; expected a number above 0"):
        build("MODEL.EINET.ADAPTIVE_RADIUS", "False", "MODEL.EINET.FIXED_SIGMA", "0.0")
