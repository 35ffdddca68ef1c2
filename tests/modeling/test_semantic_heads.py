"""Semantic heads: what they compute, their resolutions, and what they do with odd sizes and single images."""

from __future__ import annotations

from ptseg_d2.config import get_ptseg_cfg
from ptseg_d2.modeling.semantic_heads import DeepLabV2Head, DeepLabV3Decoder, DeepLabV3PlusDecoder, SemanticHead

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_backbone
from tiny import CONFIGS
from torch import Tensor

SHAPES = {"res2": ShapeSpec(channels=4, stride=4), "res5": ShapeSpec(channels=8, stride=16)}


def make_head(name: str) -> SemanticHead:
    torch.manual_seed(0)
    if name == "v2":
        return DeepLabV2Head(SHAPES, in_feature="res5", num_classes=5, aspp_dilations=[1, 2])
    if name == "v3":
        options = {"channels": 6, "num_classes": 5, "aspp_dilations": [1, 2], "norm": "BN"}
        return DeepLabV3Decoder(SHAPES, in_feature="res5", **options)
    return DeepLabV3PlusDecoder(
        SHAPES,
        in_features=["res2", "res5"],
        channels=6,
        low_level_channels=[3],
        decoder_channels=[7],
        num_classes=5,
        aspp_dilations=[1, 2],
        norm="BN",
    )


def slow_dilated_convolution(x: Tensor, weight: Tensor, bias: Tensor, dilation: int) -> Tensor:
    """3x3 convolution of (channels, h, w) with zeros around it, one product at a time."""
    height, width = x.shape[-2:]
    result = bias.view(-1, 1, 1).repeat(1, height, width)
    for row in range(height):
        for column in range(width):
            for i in range(3):
                for j in range(3):
                    y, z = row + dilation * (i - 1), column + dilation * (j - 1)
                    if 0 <= y < height and 0 <= z < width:
                        result[:, row, column] += weight[:, :, i, j] @ x[:, y, z]
    return result


def test_v2_is_the_sum_of_its_branches() -> None:
    torch.manual_seed(0)
    shapes = {"res5": ShapeSpec(channels=2)}
    head = DeepLabV2Head(shapes, in_feature="res5", num_classes=3, aspp_dilations=[1, 2, 4])
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(1, 2, 5, 6)
    with torch.no_grad():
        expected = sum(
            slow_dilated_convolution(x[0], branch.weight, branch.bias, dilation)  # type: ignore[arg-type]
            for branch, dilation in zip(head.branches, [1, 2, 4])
        )
        torch.testing.assert_close(head({"res5": x})[0], expected, atol=1e-5, rtol=1e-5)


def test_v2_adds_in_float32() -> None:
    head = make_head("v2")
    features = {"res5": torch.randn(1, 8, 3, 5)}
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        first, second = (branch(features["res5"]) for branch in head.branches)  # type: ignore[operator, union-attr]
        found = head(features)
    assert first.dtype == torch.bfloat16 and found.dtype == torch.float32
    assert torch.equal(found, first.float() + second.float())


def test_v2_starts_with_small_weights_and_no_bias() -> None:
    head = DeepLabV2Head({"x": ShapeSpec(channels=512)}, in_feature="x", num_classes=19, aspp_dilations=[6, 12])
    for branch in head.branches:
        assert branch.weight.std().item() == pytest.approx(0.01, rel=0.02)  # type: ignore[arg-type, operator]
        assert not branch.bias.any()  # type: ignore[operator, union-attr]


@pytest.mark.parametrize(("name", "size"), [("v2", (3, 5)), ("v3", (3, 5)), ("v3plus", (9, 17))])
def test_odd_sizes(name: str, size: tuple[int, int]) -> None:
    features = {"res2": torch.randn(2, 4, 9, 17), "res5": torch.randn(2, 8, 3, 5)}
    assert make_head(name)(features).shape == (2, 5, *size)


@pytest.mark.parametrize("name", ["v2", "v3", "v3plus"])
def test_a_single_image_can_be_trained(name: str) -> None:
    head = make_head(name).train()
    head({"res2": torch.randn(1, 4, 9, 17), "res5": torch.randn(1, 8, 3, 5)}).square().sum().backward()
    assert [key for key, parameter in head.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("name", ["v2", "v3", "v3plus"])
def test_no_auxiliary_outputs(name: str) -> None:
    assert make_head(name).auxiliary_logits({}) == []


def test_v3_sees_the_whole_image() -> None:
    """The pooled branch carries the last pixel to the first one, out of reach of the dilated convolutions."""
    head = make_head("v3").eval()
    x = torch.randn(1, 8, 1, 40, requires_grad=True)
    head({"res5": x})[..., 0].sum().backward()
    assert x.grad is not None and bool(x.grad[..., -1].abs().sum() > 0)


@pytest.mark.parametrize(
    ("network", "strides"),
    [
        ("cityscapes_deeplabv2_r18.yaml", {"res5": 8}),
        ("cityscapes_deeplabv2_r50.yaml", {"res5": 8}),
        ("cityscapes_deeplabv2_r101.yaml", {"res5": 8}),
        ("cityscapes_deeplabv3_r101.yaml", {"res5": 16}),
        ("cityscapes_deeplabv3plus_r101.yaml", {"res2": 4, "res5": 16}),
    ],
)
def test_output_strides_of_paper_scale_backbones(network: str, strides: dict[str, int]) -> None:
    cfg = get_ptseg_cfg()
    cfg.merge_from_file(str(CONFIGS / "networks" / network))
    with torch.device("meta"):
        backbone = build_backbone(cfg)
        features = backbone(torch.empty(1, 3, 64, 128))
    assert {name: spec.stride for name, spec in backbone.output_shape().items()} == strides
    assert {name: x.shape[-2:] for name, x in features.items()} == {n: (64 // s, 128 // s) for n, s in strides.items()}
