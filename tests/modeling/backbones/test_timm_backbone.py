"""Networks of timm behind Detectron2's interface: names, sizes, frozen levels, where their weights go."""

from __future__ import annotations

from typing import Any

from ptseg_d2.errors import RecipeError
from ptseg_d2.modeling.backbones.timm_backbone import LEVELS, TimmBackbone
from ptseg_d2.modeling.backbones.timm_weights import pretrained_state
from ptseg_d2.modeling.network import DenseNetwork
from ptseg_d2.modeling.semantic_segmentor import SemanticNetwork
from ptseg_d2.modeling.teachers.momentum_teacher import MomentumTeacher
from ptseg_d2.recipe.configs import load_config
from ptseg_d2.stages import StageInputs
from ptseg_d2.training.checkpoints import load_network

import pytest
import timm
import torch
from detectron2.config import CfgNode
from tiny import CONFIGS

LITE = "tf_efficientnet_lite0"
SWIN = "swin_tiny_patch4_window7_224"
NETWORK = ["RECIPE.SEMANTIC_NETWORK", "networks/efficientnet_lite0.yaml", "MODEL.BFLOAT16", "False"]


def images_of(height: int, width: int) -> torch.Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        (LITE, [16, 24, 40, 112, 320]),
        ("resnet18", [64, 64, 128, 256, 512]),
        ("convnext_atto", [40, 80, 160, 320]),
        ("pvt_v2_b0", [32, 64, 160, 256]),
        (SWIN, [96, 192, 384, 768]),
    ],
)
@pytest.mark.parametrize("size", [(64, 96), (101, 67)])
@torch.no_grad()
def test_pyramids_of_every_kind(name: str, channels: list[int], size: tuple[int, int]) -> None:
    """Detectron2's names; a stride of s gives ceil(side / s) at any size."""
    levels = LEVELS[-len(channels) :]
    backbone = TimmBackbone(name, out_features=levels).eval()
    features = backbone(images_of(*size))
    strides = [2, 4, 8, 16, 32][-len(channels) :]
    assert {level: tuple(feature.shape) for level, feature in features.items()} == {
        level: (2, channel, -(-size[0] // stride), -(-size[1] // stride))
        for level, channel, stride in zip(levels, channels, strides)
    }
    shapes = backbone.output_shape()
    assert [(shapes[level].channels, shapes[level].stride) for level in levels] == list(zip(channels, strides))


@torch.no_grad()
def test_padding_is_of_zeros_below_and_at_the_right() -> None:
    backbone = TimmBackbone("convnext_atto", out_features=["res2", "res5"]).eval()
    images = images_of(41, 70)
    padded = torch.zeros(2, 3, 64, 96)
    padded[..., :41, :70] = images
    found, expected = backbone(images), backbone(padded)
    assert torch.equal(found["res2"], expected["res2"][..., :11, :18])
    assert torch.equal(found["res5"], expected["res5"][..., :2, :3])


@torch.no_grad()
def test_less_stride_is_the_same_network_dilated() -> None:
    backbone = TimmBackbone(LITE, out_features=["res4", "res5"], output_stride=16).eval()
    assert {name: tuple(value.shape[-2:]) for name, value in backbone(images_of(64, 96)).items()} == {
        "res4": (4, 6),
        "res5": (4, 6),
    }
    usual = TimmBackbone(LITE, out_features=["res5"])
    assert {name: value.shape for name, value in backbone.state_dict().items()} == {
        name: value.shape for name, value in usual.state_dict().items()
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "efficientnet_lite0s"}, "has no such network; near it are .*efficientnet_lite0"),
        ({"name": "vit_tiny_patch16_224"}, r"features at the strides \[16, 16.*\]; expected a pyramid"),
        (
            {"name": "convnext_atto", "out_features": ["stem"]},
            "but the features of convnext_atto are res2, res3",
        ),
        ({"name": SWIN, "output_stride": 16}, f"'{SWIN}' cannot be built with output_stride: "),
        ({"name": "resnet18", "freeze_at": 6}, "MODEL.TIMM.FREEZE_AT = 6, but the network has 5 levels"),
    ],
)
def test_what_cannot_be_built_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        TimmBackbone(**{"out_features": ["res5"], **options})


def test_images_below_the_output_stride_are_refused() -> None:
    backbone = TimmBackbone(LITE, out_features=["res5"])
    with pytest.raises(ValueError, match=f"images of 31x64 pixels are smaller than the output stride of {LITE}, 32"):
        backbone(images_of(31, 64))


@pytest.mark.parametrize(
    ("name", "frozen"),
    [
        (LITE, ("conv_stem", "bn1", "blocks.0", "blocks.1")),
        ("resnet18", ("conv1", "bn1", "layer1")),
        ("convnext_atto", ("stem_0", "stem_1", "stages_0", "stages_1")),
    ],
)
def test_frozen_levels_never_change(name: str, frozen: tuple[str, ...]) -> None:
    """Two levels: the parts before them, and batch-norm statistics, stay; all others learn."""
    backbone = TimmBackbone(name, out_features=["res5"], freeze_at=2).train()
    before = {key: value.clone() for key, value in backbone.network.state_dict().items()}
    optimizer = torch.optim.SGD([value for value in backbone.parameters() if value.requires_grad], lr=1.0)
    backbone(images_of(64, 64))["res5"].square().sum().backward()
    optimizer.step()
    after = backbone.network.state_dict()
    is_frozen = {key: any(key == part or key.startswith(f"{part}.") for part in frozen) for key in before}
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert not {key for key in changed if is_frozen[key]}
    assert {key.split(".")[0] for key in before if not is_frozen[key]} <= {key.split(".")[0] for key in changed}


def test_a_frozen_network_takes_pretrained_weights() -> None:
    backbone = TimmBackbone(LITE, out_features=["res5"], freeze_at=5)
    backbone.load_pretrained("package")
    expected = pretrained_state(LITE, "package")
    own = backbone.network.state_dict()
    assert len(own) > 200 and all(torch.equal(value, expected[name]) for name, value in own.items())


def test_checkpointing_changes_no_gradient() -> None:
    gradients = []
    for grad_checkpointing in (False, True):
        torch.manual_seed(0)
        backbone = TimmBackbone("resnet18", out_features=["res5"], grad_checkpointing=grad_checkpointing).train()
        backbone(images_of(64, 64))["res5"].square().mean().backward()
        gradients.append([value.grad for value in backbone.parameters()])
    for plain, checkpointed in zip(*gradients):
        torch.testing.assert_close(plain, checkpointed)


def test_a_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = TimmBackbone("resnet18", out_features=["res5"])

    def fail(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(timm, "create_model", fail)
    message = r"resnet18 could not be fetched \(OSError: no network\); get model\.safetensors of timm/resnet18"
    with pytest.raises(RecipeError, match=message):
        backbone.load_pretrained("hub")


@torch.no_grad()
def test_what_the_hub_gives_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = TimmBackbone("convnext_atto", out_features=["res5"]).eval()
    torch.manual_seed(5)
    theirs = timm.create_model("convnext_atto", features_only=True).eval()
    monkeypatch.setattr(timm, "create_model", lambda *_, pretrained, **__: theirs if pretrained else None)
    backbone.load_pretrained("hub")
    assert torch.equal(backbone(images_of(64, 64))["res5"], theirs(images_of(64, 64))[-1])


def config(name: str, *overrides: str) -> CfgNode:
    return load_config(CONFIGS / name, [*NETWORK, *overrides])


def is_pretrained(network: Any) -> bool:
    expected = pretrained_state(LITE, "package")
    own = network.backbone.network.state_dict()
    return all(torch.equal(value, expected[name]) for name, value in own.items())


def test_mean_deviation_and_colours_are_those_of_the_weights() -> None:
    cfg = config("semantic_source.yaml", "INPUT.FORMAT", "BGR")
    assert (cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD, cfg.INPUT.FORMAT) == ([127.0] * 3, [128.0] * 3, "RGB")
    cfg = config("semantic_source.yaml", "MODEL.TIMM.WEIGHTS", "")
    assert cfg.MODEL.PIXEL_MEAN == [123.675, 116.28, 103.53]


def test_a_stage_starts_from_the_weights_that_its_config_names() -> None:
    inputs = StageInputs()
    network = load_network(config("semantic_source.yaml"), inputs)
    assert isinstance(network, SemanticNetwork) and is_pretrained(network)
    assert not is_pretrained(load_network(config("semantic_source.yaml", "MODEL.TIMM.WEIGHTS", ""), inputs))
    teacher = load_network(config("semantic_selftrain.yaml", "RECIPE.INIT_FROM", ""), inputs)
    assert isinstance(teacher, MomentumTeacher)
    assert is_pretrained(teacher.student) and is_pretrained(teacher.teacher)


def test_an_earlier_stage_comes_first(tmp_path: Any) -> None:
    file = str(tmp_path / "model.pth")
    source = load_network(config("semantic_source.yaml", "MODEL.TIMM.WEIGHTS", ""), StageInputs())
    torch.save({"model": source.state_dict()}, file)
    network = load_network(config("semantic_source.yaml", "MODEL.WEIGHTS", file), StageInputs())
    assert isinstance(network, DenseNetwork) and not is_pretrained(network)
    assert all(torch.equal(value, source.state_dict()[name]) for name, value in network.state_dict().items())
