"""Two-head U-Net: losses against plain formulas, results from maps made by hand, a frozen encoder that stays."""

from __future__ import annotations

from typing import Any

from ptseg_d2.modeling.panoptic_unet import PanopticUNet
from ptseg_d2.modeling.scse import SCSE

import pytest
import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from tiny import small
from torch import Tensor
from torch.nn import functional as F

NARROW_DECODER = ("MODEL.EMBEDDING.DECODER_CHANNELS", "[8, 8, 8, 8]", "MODEL.EMBEDDING.DIM", "4")

PAPER = [
    *("MODEL.EMBEDDING.PUSH", "1.0", "MODEL.EMBEDDING.OBJECT", "0.0", "MODEL.PANOPTIC_UNET.SEMANTIC_WEIGHT", "1.0"),
    *("INSTANCE.MIN_AREA", "1e-4"),
]
"""Losses and weights of Eq. 3.2 to 3.6."""


def leaf_config(*overrides: str) -> CfgNode:
    return small("panoptic_unet/minileaves_plain.yaml", *NARROW_DECODER, "INPUT.TEST_SIZE", "()", *overrides)


def build(*overrides: str) -> PanopticUNet:
    torch.manual_seed(0)
    model = build_model(leaf_config(*overrides))
    assert isinstance(model, PanopticUNet)
    return model


def leaf_batch(num_images: int = 2) -> list[dict[str, Any]]:
    """Three stripes of leaves beside background and a void column."""
    ids = torch.arange(64).expand(32, -1) // 16
    sem_seg = (ids > 0).long()
    sem_seg[:, -1] = 255
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (num_images, 3, 32, 64), dtype=torch.uint8, generator=rng)
    return [{"image": image, "sem_seg": sem_seg, "instance_ids": ids} for image in images]


def test_evaluation_protocol() -> None:
    model = build().eval()
    image = leaf_batch()[0]["image"]
    outputs = model([{"image": image}, {"image": image, "height": 48, "width": 80}])
    for output, size in zip(outputs, ((32, 64), (48, 80))):
        ids, segments = output["panoptic_seg"]
        assert output["sem_seg"].shape == (2, *size) and ids.shape == size and ids.dtype == torch.int32
        assert {s["id"] for s in segments} == set(ids.unique().tolist()) - {0}
        assert all({"id", "category_id", "isthing", "area", "score"} <= s.keys() for s in segments)


def test_both_maps_have_the_images_size_whatever_the_test_size() -> None:
    model = build("INPUT.TEST_SIZE", "(64, 64)").eval()
    images = torch.stack([item["image"] for item in leaf_batch()])
    with torch.no_grad():
        maps = model.predict(images)
        assert {key: tuple(value.shape) for key, value in maps.items()} == {
            "sem_seg": (2, 2, 32, 64),
            "embeddings": (2, 4, 32, 64),
        }
        fitting = torch.randint(0, 256, (1, 3, 64, 64))
        small_maps = model.predict_strided(fitting)
        expected = F.interpolate(small_maps, size=(64, 64), mode="bilinear", align_corners=False)
        torch.testing.assert_close(model.predict(fitting)["sem_seg"], expected)
        assert torch.equal(model.logits_with_auxiliary(fitting)[0], small_maps) and model.auxiliary_weight == 0


def discriminative(embeddings: Tensor, ids: Tensor) -> dict[str, float]:
    """Equations 3.2 to 3.4 of [PanopticUNet] for one image, (E, h, w) and (h, w), by loops over instances."""
    instances = [embeddings[:, ids == number] for number in ids.unique() if number > 0]
    means = [pixels.mean(1) for pixels in instances]
    hinges = [((pixels - mean[:, None]).norm(dim=0) - 0.5).clamp(min=0) ** 2 for pixels, mean in zip(instances, means)]
    pairs = [(3 - (a - b).norm()).clamp(min=0) ** 2 for i, a in enumerate(means) for j, b in enumerate(means) if i != j]
    return {
        "loss_pull": float(torch.stack([h.mean() for h in hinges]).mean()),
        "loss_push": float(torch.stack(pairs).mean()) if pairs else 0.0,
        "loss_reg": 0.001 * float(torch.stack([m.norm() for m in means]).mean()),
    }


def test_losses_are_those_of_the_paper() -> None:
    model = build(*PAPER, "MODEL.EMBEDDING.POSITION_GAIN", "4.0").eval()
    batch = leaf_batch()
    with torch.no_grad():
        found = {name: float(loss) for name, loss in model.losses(batch).items()}
        logits, embeddings = model._dense_maps(torch.stack([i["image"] for i in batch]), model.head.both)
    size = embeddings.shape[-2:]
    assert size == (16, 32)
    ids = batch[0]["instance_ids"][1::2, 1::2]
    expected = [discriminative(e, ids) for e in embeddings]
    for name in expected[0]:
        assert found[name] == pytest.approx(sum(e[name] for e in expected) / 2, rel=1e-4), name
    assert found["loss_object"] == found["loss_unlabeled_push"] == 0
    logits = F.interpolate(logits, size=(32, 64), mode="bilinear", align_corners=False)
    cross_entropy = F.cross_entropy(logits, torch.stack([i["sem_seg"] for i in batch]), ignore_index=255)
    assert found["loss_sem_seg"] == pytest.approx(float(cross_entropy), rel=1e-5)


def test_classes_may_push_their_own_instances_only() -> None:
    """Two persons and a car: per class, the car is a single instance, which nothing pushes."""
    torch.manual_seed(0)
    embeddings = torch.randn(1, 4, 2, 6)
    ids = torch.tensor([[[1, 1, 2, 2, 3, 3]]]).expand(1, 2, 6)
    sem_seg = torch.tensor([[[11, 11, 11, 11, 13, 13]]]).expand(1, 2, 6)
    persons, car = ids[0].where(ids[0] < 3, 0), ids[0].where(ids[0] == 3, 0)
    together = discriminative(embeddings[0], ids[0])
    apart = [discriminative(embeddings[0], one) for one in (persons, car)]
    overrides = (*NARROW_DECODER, "MODEL.META_ARCHITECTURE", "PanopticUNet", "MODEL.EMBEDDING.OBJECT", "0.0")
    for per_class in (False, True):
        key = ("MODEL.PANOPTIC_UNET.PER_CLASS", str(per_class))
        model = build_model(small("panoptic_unet/miniscapes.yaml", *overrides, *key, "MODEL.EMBEDDING.PUSH", "1.0"))
        found = model.embedding_losses(embeddings, ids, sem_seg)
        for name, value in together.items():
            expected = sum(one[name] for one in apart) / 2 if per_class else value
            assert float(found[name]) == pytest.approx(expected, rel=1e-4), (name, per_class)


def test_image_without_a_leaf_costs_the_cross_entropy_alone() -> None:
    batch = leaf_batch()
    for item in batch:
        item["sem_seg"], item["instance_ids"] = torch.zeros(32, 64).long(), torch.zeros(32, 64).long()
    for per_class in ("True", "False"):
        losses = build("MODEL.PANOPTIC_UNET.PER_CLASS", per_class).train()(batch)
        assert {name for name, loss in losses.items() if loss.item() != 0} == {"loss_sem_seg"}
        sum(losses.values()).backward()


@pytest.mark.parametrize("attention", ["none", "scse"])
def test_every_parameter_is_trained(attention: str) -> None:
    model = build("MODEL.PANOPTIC_UNET.ATTENTION", attention).train()
    assert any(isinstance(module, SCSE) for module in model.modules()) == (attention == "scse")
    losses = model(leaf_batch())
    assert all(name.startswith("loss_") for name in losses)
    sum(losses.values()).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_frozen_encoder_stays_as_it_is() -> None:
    model = build("MODEL.PANOPTIC_UNET.FREEZE_ENCODER", "True").train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    sum(model(leaf_batch()).values()).backward()
    optimizer.step()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert all(p.grad is None for p in model.backbone.parameters())
    assert not any(name.startswith("backbone.") for name in changed)
    assert any(name.startswith("head.levels.") and "running_mean" in name for name in changed)
    assert "head.classifier.weight" in changed and "head.predictor.weight" in changed


def test_result_from_maps_made_by_hand() -> None:
    """Two leaves apart in the embedding only, a third apart in the image, too, and background."""
    model = build("EVAL.MIN_STUFF_AREA", "0.0")
    layout = torch.tensor([[0, 1, 1, 2, 2, 0, 3, 3]]).repeat(8, 1)
    centers = torch.tensor([[0.0, 0.0, 5.0, 0.0], [0.0, 0.0, 0.0, 5.0], [0.0] * 4, [0.0] * 4])
    embeddings = centers[:, layout] + 0.1 * torch.randn(4, 8, 8)
    embeddings[:, layout == 0] = 2.5  # what no clustering may see: between two leaves
    logits = F.one_hot((layout > 0).long(), 2).permute(2, 0, 1).float() * 20
    ids, segments = model.panoptic_seg(logits, embeddings)
    found = {s["id"]: s for s in segments}
    assert len(found) == 4
    for number in range(4):
        (segment_id,) = ids[layout == number].unique().tolist()
        assert int((ids == segment_id).sum()) == int((layout == number).sum()) == found[segment_id]["area"]
        assert found[segment_id]["category_id"] == min(number, 1)
        assert found[segment_id]["isthing"] == (number > 0)


def test_image_of_one_colour_is_normalised_to_zero() -> None:
    model = build("MODEL.NORMALIZE_IMAGES", "True")
    assert not model._normalized(torch.full((1, 3, 4, 4), 77.0)).any()
    normalized = model._normalized(torch.randint(0, 256, (2, 3, 16, 16)).float())
    torch.testing.assert_close(normalized.mean((2, 3)), torch.zeros(2, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(normalized.std((2, 3), correction=0), torch.ones(2, 3), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("MODEL.PANOPTIC_UNET.ATTENTION", "cbam", "'none' or 'scse'"),
        ("MODEL.PANOPTIC_UNET.SCSE_REDUCTION", "0", "SCSE_REDUCTION = 0"),
        ("INPUT.TEST_SIZE", "(256,)", r"TEST_SIZE = \(256,\)"),
        ("INSTANCE.CLUSTER_BANDWIDTH", "-1.0", "CLUSTER_BANDWIDTH = -1.0"),
    ],
)
def test_bad_options(key: str, value: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build("MODEL.PANOPTIC_UNET.ATTENTION", "scse", key, value)
