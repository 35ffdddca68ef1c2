"""Dilated ResNet-18/34: equal to torchvision's, finer where it is dilated, under unchanged names."""

from __future__ import annotations

from pathlib import Path

from ptseg_d2.config import get_ptseg_cfg
from ptseg_d2.modeling.backbones.resnets import DilatedBasicBlock

import convert_torchvision_resnet
import pytest
import torch
import torchvision
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.modeling import build_backbone
from detectron2.modeling.backbone import Backbone
from torch.nn import functional as F
from torchvision_weights import res5, torchvision_resnet


def build(res4: int = 1, res5: int = 1, depth: int = 18, width: int = 64, name: str = "dilated_basic_") -> Backbone:
    cfg = get_ptseg_cfg()
    cfg.MODEL.BACKBONE.NAME = f"build_{name}resnet_backbone"
    cfg.MODEL.BACKBONE.FREEZE_AT = 0
    options = cfg.MODEL.RESNETS
    options.DEPTH = depth
    options.NORM = "BN"
    options.STEM_OUT_CHANNELS = options.RES2_OUT_CHANNELS = width
    options.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
    options.RES4_DILATION, options.RES5_DILATION = res4, res5
    return build_backbone(cfg)


def test_features_are_those_of_torchvision_where_nothing_is_dilated(tmp_path: Path) -> None:
    theirs = torchvision_resnet(18)
    assert isinstance(theirs, torchvision.models.ResNet)
    torch.save(theirs.state_dict(), tmp_path / "r.pth")
    arguments = ["--depth", "18", "--output", str(tmp_path / "r.pkl"), "--weights", str(tmp_path / "r.pth")]
    assert convert_torchvision_resnet.main(arguments) == 0
    ours = build().eval()
    DetectionCheckpointer(ours).load(str(tmp_path / "r.pkl"))
    x = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(ours(x)["res5"], res5(theirs, x), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("dilations", "strides"),
    [((1, 1), [4, 8, 16, 32]), ((1, 2), [4, 8, 16, 16]), ((1, 4), [4, 8, 16, 16]), ((2, 4), [4, 8, 8, 8])],
)
def test_output_strides(dilations: tuple[int, int], strides: list[int]) -> None:
    backbone = build(*dilations, width=4)
    assert [shape.stride for shape in backbone.output_shape().values()] == strides
    features = backbone(torch.zeros(1, 3, 64, 128))
    assert [tuple(x.shape[-2:]) for x in features.values()] == [(64 // stride, 128 // stride) for stride in strides]


@pytest.mark.parametrize("depth", [18, 34])
def test_dilation_changes_no_parameter(depth: int) -> None:
    with torch.device("meta"):
        shapes = [
            {name: value.shape for name, value in backbone.state_dict().items()}
            for backbone in (build(2, 4, depth), build(depth=depth), build(depth=depth, name=""))  # Detectron2's own
        ]
    assert shapes[0] == shapes[1] == shapes[2]


def test_every_block_of_a_stage_is_dilated() -> None:
    backbone = build(2, 4, width=4)
    found = {name: module.dilation for name, module in backbone.named_modules() if name.endswith(("conv1", "conv2"))}
    expected = {"stem": (1, 1), "res2": (1, 1), "res3": (1, 1), "res4": (2, 2), "res5": (4, 4)}
    assert found == {name: expected[name.split(".")[0]] for name in found} and len(found) == 1 + 4 * 2 * 2


def test_block_by_hand() -> None:
    """Two dilated convolutions and the image itself."""
    torch.manual_seed(0)
    block = DilatedBasicBlock(3, 3, dilation=2, norm="")
    x = torch.randn(1, 3, 7, 9)
    inner = F.conv2d(x, block.conv1.weight, padding=2, dilation=2).relu()
    expected = (F.conv2d(inner, block.conv2.weight, padding=2, dilation=2) + x).relu()
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((1, 1, 50), r"DEPTH = 50; expected one of \[18, 34\]"),
        ((2, 2, 18), "RES4_DILATION, RES5_DILATION = 2, 2; expected 1, 1"),
        ((1, 3, 18), "RES4_DILATION, RES5_DILATION = 1, 3; expected 1, 1"),
    ],
)
def test_wrong_settings_say_what_is_expected(options: tuple[int, int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(*options)


def test_default_width_of_deeper_networks_is_refused() -> None:
    cfg = get_ptseg_cfg()
    cfg.MODEL.BACKBONE.NAME = "build_dilated_basic_resnet_backbone"
    cfg.MODEL.RESNETS.DEPTH = 18
    with pytest.raises(ValueError, match="RES2_OUT_CHANNELS = 256; ResNet-18 has as many as STEM_OUT_CHANNELS = 64"):
        build_backbone(cfg)


def test_equal_first_widths_are_refused_where_the_resolution_is_halved_between_them() -> None:
    with pytest.raises(ValueError, match="RES2_OUT_CHANNELS = STEM_OUT_CHANNELS = 16; the compact ResNet halves"):
        build(name="compact_", width=16)


def test_unet_backbone_gives_torchvisions_features_and_the_stem_before_its_pooling(tmp_path: Path) -> None:
    theirs = torchvision_resnet(34)
    assert isinstance(theirs, torchvision.models.ResNet)
    torch.save(theirs.state_dict(), tmp_path / "r.pth")
    arguments = ["--depth", "34", "--output", str(tmp_path / "r.pkl"), "--weights", str(tmp_path / "r.pth")]
    assert convert_torchvision_resnet.main(arguments) == 0
    cfg = get_ptseg_cfg()
    cfg.MODEL.BACKBONE.NAME, cfg.MODEL.BACKBONE.FREEZE_AT = "build_unet_resnet_backbone", 0
    options = cfg.MODEL.RESNETS
    options.DEPTH, options.NORM = 34, "BN"
    options.STEM_OUT_CHANNELS = options.RES2_OUT_CHANNELS = 64
    options.OUT_FEATURES = ["stem", "res2", "res5"]
    ours = build_backbone(cfg).eval()
    DetectionCheckpointer(ours).load(str(tmp_path / "r.pkl"))
    x = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        features = ours(x)
        stem = theirs.relu(theirs.bn1(theirs.conv1(x)))
        torch.testing.assert_close(features["stem"], stem, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(features["res5"], res5(theirs, x), atol=1e-4, rtol=1e-4)
    assert {name: shape.stride for name, shape in ours.output_shape().items()} == {"stem": 2, "res2": 4, "res5": 32}
