"""cSE, sSE and their two combinations by hand; a U-Net without attention has no trace of it."""

from __future__ import annotations

import math

from ptseg_d2.modeling.scse import SCSE
from ptseg_d2.modeling.unet import UNetDecoder

import pytest
import torch
from detectron2.layers import ShapeSpec
from torch import Tensor


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def excited(combine: str) -> tuple[Tensor, Tensor]:
    """Two channels of two pixels: [[1, 3], [2, -2]], whose means over the pixels are 2 and 0.

    cSE: one squeezed value relu(2 * 1 + 0 * 1 - .5) = 1.5, factors sigmoid(1.5) and sigmoid(-3 + 1).
    sSE: factors sigmoid(1 - 2) and sigmoid(3 + 2) of the pixels, from the difference of the channels.
    """
    module = SCSE(2, reduction=2, combine=combine)
    with torch.no_grad():
        for layer, weight, bias in (
            (module.squeeze, [[1.0, 1.0]], [-0.5]),
            (module.excite, [[1.0], [-2.0]], [0.0, 1.0]),
            (module.spatial, [[[[1.0]], [[-1.0]]]], [0.0]),
        ):
            layer.weight.copy_(torch.tensor(weight))
            assert layer.bias is not None
            layer.bias.copy_(torch.tensor(bias))
        x = torch.tensor([[[[1.0, 3.0]], [[2.0, -2.0]]]])
        return x, module(x)


@pytest.mark.parametrize("combine", ["add", "max"])
def test_by_hand(combine: str) -> None:
    x, found = excited(combine)
    channel, pixel = [sigmoid(1.5), sigmoid(-2.0)], [sigmoid(-1.0), sigmoid(5.0)]
    for c in range(2):
        for p in range(2):
            value = float(x[0, c, 0, p])
            both = value * channel[c], value * pixel[p]
            expected = sum(both) if combine == "add" else max(both)
            assert float(found[0, c, 0, p]) == pytest.approx(expected, rel=1e-5)


def test_each_image_has_its_own_factors() -> None:
    torch.manual_seed(0)
    module, x = SCSE(4), torch.randn(2, 4, 3, 5)
    torch.testing.assert_close(module(x), torch.cat([module(x[:1]), module(x[1:])]))


def test_at_least_one_channel_is_left() -> None:
    assert SCSE(4, reduction=16).squeeze.out_features == 1


@pytest.mark.parametrize(("options", "message"), [({"combine": "mean"}, "'add' or 'max'"), ({"reduction": 0}, "1 or")])
def test_unknown_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SCSE(4, **options)  # type: ignore[arg-type]


def decoder(channels: list[int], attention: type[SCSE] | None = None) -> UNetDecoder:
    shapes = {"fine": ShapeSpec(channels=8), "coarse": ShapeSpec(channels=16)}
    return UNetDecoder(
        shapes,
        in_features=["fine", "coarse"],
        channels=channels,
        out_channels=2,
        norm="BN",
        coordinates=False,
        attention=attention,
    )


def test_attention_follows_every_level_and_is_nowhere_when_off() -> None:
    plain, attentive = decoder([8, 8]), decoder([8, 8], SCSE)
    added = set(attentive.state_dict()) - set(plain.state_dict())
    assert set(plain.state_dict()) < set(attentive.state_dict())
    assert {name.rsplit(".", 2)[0] for name in added} == {"levels.0.2", "levels.1.2"}


def test_one_more_width_doubles_the_resolution() -> None:
    features = {"fine": torch.zeros(1, 8, 6, 10), "coarse": torch.zeros(1, 16, 3, 5)}
    assert decoder([8])(features).shape == (1, 2, 6, 10)
    assert decoder([8, 8])(features).shape == (1, 2, 12, 20)
