"""Parameters and FLOPs against hand counts, and the printed table."""

from __future__ import annotations

from ptseg_d2.modeling.network import DenseNetwork

import analyze_model
import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.backbone import Backbone
from tiny import CONFIGS, NARROW
from torch import Tensor, nn


class OneConvolution(Backbone):
    """3 -> 4 channels, 3x3, stride 2."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"x": self.conv(x)}

    def output_shape(self) -> dict[str, ShapeSpec]:
        return {"x": ShapeSpec(channels=4, stride=2)}


class OneClassifier(nn.Module):
    """4 -> 5 channels, 1x1."""

    def __init__(self) -> None:
        super().__init__()
        self.predictor = nn.Conv2d(4, 5, 1)

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        return self.predictor(features["x"])


def tiny_network() -> DenseNetwork:
    return DenseNetwork(
        backbone=OneConvolution(),
        head=OneClassifier(),
        output_name="sem_seg",
        pixel_mean=[0.0, 0.0, 0.0],
        pixel_std=[1.0, 1.0, 1.0],
        size_divisibility=2,
        use_bfloat16=False,
    )


def test_counts_by_hand() -> None:
    network = tiny_network()
    assert analyze_model.count_parameters(network) == 3 * 4 * 9 + 4 * 5 + 5
    # 5x8 is padded to 6x8, so 3x4 positions; each costs 27 * 4 and 4 * 5 multiply-adds.
    assert analyze_model.count_flops(network, 5, 8) == 12 * (27 * 4 + 4 * 5)
    assert next(network.parameters()).device == torch.device("cpu")


def test_latency_is_that_of_the_timed_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([9.0, 9.0, 9.0, 1.0, 2.0, 4.0])
    monkeypatch.setattr(analyze_model, "_seconds", lambda network, images: next(seconds))
    assert analyze_model.measure_latency(tiny_network(), 4, 4, runs=3) == 2.0


def test_both_branches_of_a_recipe_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    config = str(CONFIGS / "selftrain_icm.yaml")
    analyze_model.run(["--config-file", config, "--size", "32", "64", "--runs", "1", *NARROW])
    lines = capsys.readouterr().out.splitlines()
    assert "DeepLabV3PlusDecoder" in lines[2] and lines[2].startswith("semantic")
    assert "UNetDecoder" in lines[3] and lines[3].startswith("instance")
    assert lines[4].startswith("input 32x64 (height x width), cpu (")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config-file", "nowhere.yaml"], "error: config file nowhere.yaml not found"),
        (["--config-file", str(CONFIGS / "base" / "miniscapes.yaml")], "is a part of other configs"),
        (
            ["--config-file", str(CONFIGS / "semantic_source.yaml"), "MODEL.BACKBONE.NAME", "mine"],
            "error: No object named",
        ),
        (["--config-file", str(CONFIGS / "semantic_source.yaml"), "MODEL.BONE", "1"], "MODEL.BONE"),
        (["--size", "0", "8", "--config-file", str(CONFIGS / "semantic_source.yaml")], "expected a size >= 1"),
    ],
)
def test_errors_are_messages(arguments: list[str], message: str) -> None:
    with pytest.raises(SystemExit, match=message):
        analyze_model.run(arguments)
