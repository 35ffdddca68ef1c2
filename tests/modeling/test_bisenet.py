"""BiSeNet: its two paths, attention by hand, deep supervision, ImageNet weights."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from ptseg_d2.losses.semantic import cross_entropy
from ptseg_d2.modeling.bisenet import AttentionRefinement, BiSeNetBackbone, FeatureFusion
from ptseg_d2.modeling.semantic_segmentor import SemanticNetwork

import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.modeling import build_model
from tiny import small

BISENET = ["RECIPE.SEMANTIC_NETWORK", "networks/bisenet.yaml", "MODEL.BISENET.SPATIAL_CHANNELS", "[4, 6, 8]"]


def make_network(*overrides: str) -> SemanticNetwork:
    torch.manual_seed(0)
    network = build_model(small("semantic_source.yaml", *BISENET, *overrides))
    assert isinstance(network, SemanticNetwork) and isinstance(network.backbone, BiSeNetBackbone)
    return network


def make_batch(num_images: int, height: int = 64, width: int = 128) -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(0)
    return [
        {
            "image": torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator),
            "sem_seg": torch.randint(0, 19, (height, width), generator=generator),
        }
        for _ in range(num_images)
    ]


def test_refinement_by_hand() -> None:
    module = AttentionRefinement(1)
    torch.nn.init.constant_(module.attention.weight, 2.0)
    torch.nn.init.constant_(module.attention.bias, -4.0)  # type: ignore[arg-type]
    x = torch.tensor([[[[1.0, 3.0]]]])  # mean 2: 2 * 2 - 4 = 0, and sigmoid(0) = 1/2
    assert module(x).tolist() == [[[[0.5, 1.5]]]]


def test_fusion_by_hand() -> None:
    module = FeatureFusion(2, 1, norm="")
    for parameter in module.parameters():
        torch.nn.init.zeros_(parameter)
    with torch.no_grad():
        module.mix.weight[0, :, 1, 1] = torch.tensor([1.0, 2.0])
    x = torch.tensor([[[[1.0, -9.0]], [[2.0, 1.0]]]])  # 1 + 4 = 5 and relu(-9 + 2) = 0; attention sigmoid(0) = 1/2
    assert module(x).tolist() == [[[[7.5, 0.0]]]]


def test_features_have_the_strides_they_claim() -> None:
    backbone = make_network().backbone
    features = backbone(torch.zeros(2, 3, 64, 128))
    shapes = backbone.output_shape()
    assert {name: spec.stride for name, spec in shapes.items()} == {"spatial": 8, "context16": 16, "context32": 32}
    for name, spec in shapes.items():
        assert spec.stride is not None
        assert features[name].shape == (2, spec.channels, 64 // spec.stride, 128 // spec.stride)


def test_the_context_path_runs_once() -> None:
    network = make_network().train()
    calls: list[int] = []
    network.backbone.context.register_forward_hook(lambda *_: calls.append(1))  # type: ignore[operator, union-attr]
    network(make_batch(2))
    assert len(calls) == 1


@pytest.mark.parametrize("size", [(33, 50), (65, 129)])
def test_odd_sizes(size: tuple[int, int]) -> None:
    network = make_network().eval()
    with torch.no_grad():
        assert network.predict(torch.zeros(1, 3, *size))["sem_seg"].shape == (1, 19, *size)
        assert [tuple(x.shape) for x in network.logits_with_auxiliary(torch.zeros(1, 3, *size))] == [(1, 19, *size)] * 3


def test_auxiliary_outputs_come_after_the_main_one() -> None:
    network = make_network().eval()
    images = make_batch(1)[0]["image"][None]
    with torch.no_grad():
        main, *auxiliary = network.logits_with_auxiliary(images)
        assert torch.equal(main, network.predict_strided(images))
    assert [tuple(x.shape[-2:]) for x in (main, *auxiliary)] == [(8, 16), (4, 8), (2, 4)]


def test_losses_are_weighted_and_separate() -> None:
    network = make_network("MODEL.SEM_SEG_HEAD.AUXILIARY_WEIGHT", "0.5", "MODEL.SEM_SEG_HEAD.CLASS_BALANCE", "0.0")
    batch = make_batch(2)
    losses = network.train()(batch)
    labels = torch.stack([item["sem_seg"] for item in batch])
    logits = network.logits_with_auxiliary(torch.stack([item["image"] for item in batch]))  # batch statistics again
    main, first, second = (cross_entropy(output, labels) for output in logits)
    assert sorted(losses) == ["loss_sem_seg", "loss_sem_seg_auxiliary"]
    torch.testing.assert_close(losses["loss_sem_seg"], main)
    torch.testing.assert_close(losses["loss_sem_seg_auxiliary"], 0.5 * (first + second))


def test_auxiliary_loss_trains_the_context_path_alone() -> None:
    network = make_network().train()
    network(make_batch(2))["loss_sem_seg_auxiliary"].backward()
    touched = {name for name, p in network.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert {name.split(".")[1] for name in touched} == {"context", "refine16", "refine32", "auxiliary"}
    assert all(name.startswith(("backbone.", "head.auxiliary.")) for name in touched)


@pytest.mark.parametrize("num_images", [1, 2])
def test_every_parameter_is_trained_even_by_a_single_image(num_images: int) -> None:
    network = make_network().train()
    sum(network(make_batch(num_images)).values()).backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []


def test_other_heads_have_one_loss() -> None:
    network = build_model(small("semantic_source.yaml")).train()
    assert sorted(network(make_batch(2))) == ["loss_sem_seg"]


def test_imagenet_weights_reach_the_context_path(tmp_path: Path) -> None:
    """Detectron2 matches names by their end; the file holds the ResNet alone, under its own names."""
    network = make_network()
    context = network.backbone.context
    assert isinstance(context, torch.nn.Module)
    weights = {
        name: torch.randn(value.shape).numpy()
        for name, value in context.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    before = {name: value.clone() for name, value in network.state_dict().items()}
    content = {"model": weights, "__author__": "torchvision", "matching_heuristics": True}
    (tmp_path / "R.pkl").write_bytes(pickle.dumps(content))
    DetectionCheckpointer(network).load(str(tmp_path / "R.pkl"))
    for name, value in network.state_dict().items():
        own_name = name.replace("backbone.context.", "")
        expected = torch.from_numpy(weights[own_name]) if own_name in weights else before[name]
        assert torch.equal(value, expected), name


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["MODEL.RESNETS.OUT_FEATURES", "['res5']"], r"OUT_FEATURES = \['res5'\]; BiSeNet needs"),
        (["MODEL.RESNETS.RES5_DILATION", "2"], r"strides 16 and 32, got \[16, 16\]"),
        (["MODEL.BISENET.SPATIAL_CHANNELS", "[4, 8]"], "expected three widths"),
        (["MODEL.BACKBONE.NAME", "build_compact_resnet_backbone"], "BiSeNetHead needs MODEL.BACKBONE.NAME"),
    ],
)
def test_wrong_settings_say_what_is_expected(overrides: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_network(*overrides)
