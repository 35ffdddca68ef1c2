"""Converted weights make Detectron2's ResNet compute what torchvision's does."""

from __future__ import annotations

from pathlib import Path

from ptseg_d2.config import get_ptseg_cfg

import convert_torchvision_resnet
import pytest
import torch
import torchvision
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.modeling import build_backbone
from torchvision_weights import res5, torchvision_resnet


@pytest.mark.parametrize("depth", [18, 50])
def test_features_are_equal(depth: int, tmp_path: Path) -> None:
    theirs = torchvision_resnet(depth)
    assert isinstance(theirs, torchvision.models.ResNet)
    torch.save(theirs.state_dict(), tmp_path / "r.pth")
    output = tmp_path / "weights" / "r.pkl"
    arguments = ["--depth", str(depth), "--output", str(output), "--weights", str(tmp_path / "r.pth")]
    assert convert_torchvision_resnet.main(arguments) == 0

    cfg = get_ptseg_cfg()
    cfg.MODEL.BACKBONE.FREEZE_AT = 0
    cfg.MODEL.RESNETS.DEPTH = depth
    cfg.MODEL.RESNETS.NORM = "BN"
    cfg.MODEL.RESNETS.STRIDE_IN_1X1 = False
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res5"]
    cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 64 if depth == 18 else 256
    ours = build_backbone(cfg).eval()
    DetectionCheckpointer(ours).load(str(output))
    x = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(ours(x)["res5"], res5(theirs, x), atol=1e-4, rtol=1e-4)


def test_names() -> None:
    weight = torch.zeros(1)
    names = ["conv1.weight", "bn1.bias", "layer1.0.bn2.weight", "layer4.0.conv1.weight", "layer2.0.downsample.1.bias"]
    converted = convert_torchvision_resnet.convert_names(dict.fromkeys([*names, "fc.weight"], weight))
    assert list(converted) == [
        "stem.conv1.weight",
        "stem.conv1.norm.bias",
        "res2.0.conv2.norm.weight",
        "res5.0.conv1.weight",
        "res3.0.shortcut.norm.bias",
    ]


def test_wrong_files_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "vgg.pth")
    output = str(tmp_path / "R.pkl")
    for name, message in (("vgg.pth", "not the weights of a torchvision ResNet"), ("none.pth", "none.pth")):
        arguments = ["--depth", "18", "--output", output, "--weights", str(tmp_path / name)]
        assert convert_torchvision_resnet.main(arguments) == 1
        assert message in capsys.readouterr().err
    with pytest.raises(SystemExit):
        convert_torchvision_resnet.main(["--depth", "18", "--output", "R.pth"])
    assert not Path(output).exists()
