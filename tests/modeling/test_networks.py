"""Shapes, Detectron2's protocols and the arithmetic around the networks."""

from __future__ import annotations

from ptseg_d2.modeling.embedding_net import ignore_small, shrink_labels
from ptseg_d2.modeling.network import DenseNetwork
from ptseg_d2.modeling.unet import pixel_positions

import pytest
import torch
from detectron2.modeling import build_model
from tiny import small


@pytest.mark.parametrize(
    ("name", "key", "channels"), [("semantic_source.yaml", "sem_seg", 19), ("instance_source.yaml", "embeddings", 8)]
)
def test_evaluation_protocol(name: str, key: str, channels: int) -> None:
    model = build_model(small(name)).eval()
    image = torch.randint(0, 256, (3, 40, 72), dtype=torch.uint8)
    with torch.no_grad():
        outputs = model([{"image": image}, {"image": image, "height": 80, "width": 144}])
        assert [tuple(o[key].shape) for o in outputs] == [(channels, 40, 72), (channels, 80, 144)]
        assert torch.allclose(outputs[0][key], model.predict(image[None])[key][0])


@pytest.mark.parametrize("name", ["semantic_source.yaml", "instance_source.yaml"])
def test_every_parameter_is_trained(name: str) -> None:
    torch.manual_seed(0)
    model = build_model(small(name)).train()
    batch = [
        {
            "image": torch.randint(0, 256, (3, 32, 64), dtype=torch.uint8),
            "sem_seg": torch.randint(0, 19, (32, 64)),
            "instance_ids": torch.arange(64).expand(32, -1) // 16,
        }
        for _ in range(2)
    ]
    losses = model(batch)
    assert all(name.startswith("loss_") for name in losses)
    sum(losses.values()).backward()
    # Batch normalisation directly after a bias-free convolution: every weight must receive a gradient.
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_padding_does_not_change_the_size_nor_leak() -> None:
    """An image whose sides are no multiple of the stride gives maps of exactly its size."""
    model = build_model(small("semantic_source.yaml")).eval()
    assert isinstance(model, DenseNetwork)
    with torch.no_grad():
        assert model.predict_strided(torch.zeros(1, 3, 33, 50)).shape == (1, 19, 33, 50)
        assert model.predict_strided(torch.zeros(1, 3, 32, 64)).shape == (1, 19, 16, 32)


def test_wrong_depth_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"expected one of \[10, 18, 34\]"):
        build_model(small("semantic_source.yaml", "MODEL.RESNETS.DEPTH", "50"))


def test_decoder_widths_must_fit_the_features() -> None:
    with pytest.raises(ValueError, match="5 U-Net features need 4 decoder widths"):
        build_model(small("instance_source.yaml", "MODEL.EMBEDDING.DECODER_CHANNELS", "[4, 8]"))


def test_pixel_positions_are_centres_in_image_heights() -> None:
    positions = pixel_positions(torch.zeros(1, 5, 2, 4))[0]
    assert positions[0].tolist() == [[0.25, 0.75, 1.25, 1.75]] * 2
    assert positions[1].tolist() == [[0.25] * 4, [0.75] * 4]


def test_shrunk_labels_are_those_at_the_centres() -> None:
    labels = torch.arange(16).view(1, 4, 4)
    assert shrink_labels(labels, (2, 2)).tolist() == [[[5, 7], [13, 15]]]
    assert torch.equal(shrink_labels(labels, (4, 4)), labels)


def test_instances_too_small_to_predict_are_ignored() -> None:
    """Each image for itself: 1 has two pixels in the first and one in the second."""
    ids = torch.tensor([[[1, 1, 2, -1], [0, 3, 3, 3]], [[1, 2, 2, 0], [0, 0, -1, 0]]])
    expected = [[[1, 1, -1, -1], [0, 3, 3, 3]], [[-1, 2, 2, 0], [0, 0, -1, 0]]]
    assert ignore_small(ids, 2).tolist() == expected
    assert ignore_small(ids, 0).tolist() == ids.tolist()
    nothing = torch.full((2, 3, 3), -1)
    assert torch.equal(ignore_small(nothing, 5), nothing)


def test_embeddings_keep_their_digits_under_bfloat16() -> None:
    """One pixel's step at a gain of 64 is .5 units at the left and at the right end; bfloat16 would make it 0 or 1."""
    torch.manual_seed(0)
    options = ["MODEL.EMBEDDING.POSITION_GAIN", "64.0", "MODEL.BFLOAT16", "True"]
    model = build_model(small("instance_source.yaml", *options)).eval()
    assert isinstance(model, DenseNetwork)
    with torch.no_grad():
        model.head.predictor.weight[:, :-2] = 0  # type: ignore[index, operator, union-attr]
        with torch.autocast("cpu", torch.bfloat16):
            embeddings = model.predict_strided(torch.full((1, 3, 256, 512), 127.0))[0]
    steps = embeddings[0].diff(dim=1)
    torch.testing.assert_close(steps, torch.full_like(steps, 0.5), atol=1e-4, rtol=0)


def test_embeddings_start_as_positions() -> None:
    """With a gain, the first two dims differ between two pixels by gain * their distance in image heights."""
    torch.manual_seed(0)
    model = build_model(small("instance_source.yaml", "MODEL.EMBEDDING.POSITION_GAIN", "12.0")).eval()
    assert isinstance(model, DenseNetwork)
    with torch.no_grad():
        embeddings = model.predict_strided(torch.full((1, 3, 64, 128), 127.0))[0]
        model.head.predictor.weight[:, -2:] = 0  # type: ignore[index, operator, union-attr]
        without = model.predict_strided(torch.full((1, 3, 64, 128), 127.0))[0]
    position = pixel_positions(embeddings[None])[0]
    torch.testing.assert_close(embeddings[:2] - without[:2], 12 * position, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(embeddings[2:], without[2:], atol=1e-4, rtol=1e-4)


def test_positions_in_pixels_do_not_depend_on_the_image_size() -> None:
    """With POSITION_HEIGHT, a pixel is gain / POSITION_HEIGHT in an image of any height."""
    torch.manual_seed(0)
    options = ["MODEL.EMBEDDING.POSITION_GAIN", "12.0", "MODEL.EMBEDDING.POSITION_HEIGHT", "64.0"]
    model = build_model(small("instance_source.yaml", *options)).eval()
    assert isinstance(model, DenseNetwork)
    with torch.no_grad():
        for size in ((64, 128), (128, 128)):
            embeddings = model.predict_strided(torch.full((1, 3, *size), 127.0))[0]
            model.head.predictor.weight[:, -2:] *= -1  # type: ignore[index, operator, union-attr]
            mirrored = model.predict_strided(torch.full((1, 3, *size), 127.0))[0]
            pixels = pixel_positions(embeddings[None], 1.0)[0]  # of the map, two pixels of the image each
            torch.testing.assert_close(
                (embeddings - mirrored)[:2].abs() / 2, 12 * 2 / 64 * pixels, atol=1e-3, rtol=1e-4
            )


def test_bgr_weights_see_the_same_image() -> None:
    """Images are RGB whatever the weights expect: a network with turned-around input weights gives the same."""
    mean_rgb, std_rgb = [1.0, 2.0, 3.0], [4.0, 5.0, 6.0]
    outputs, colours = [], []
    for order, step in (("RGB", 1), ("BGR", -1)):
        torch.manual_seed(0)
        statistics = ["MODEL.PIXEL_MEAN", str(mean_rgb[::step]), "MODEL.PIXEL_STD", str(std_rgb[::step])]
        model = build_model(small("semantic_source.yaml", "INPUT.FORMAT", order, *statistics)).eval()
        with torch.no_grad():
            if order == "BGR":
                model.backbone.stem.conv1.weight.copy_(model.backbone.stem.conv1.weight.flip(1))
            image = torch.arange(3 * 32 * 64).view(1, 3, 32, 64) % 251
            outputs.append(model.predict_strided(image))
        colours.append(model.mean_colour.flatten().tolist())
    torch.testing.assert_close(outputs[0], outputs[1], atol=1e-5, rtol=1e-5)
    assert colours == [mean_rgb, mean_rgb]


def test_unknown_channel_order_is_refused() -> None:
    with pytest.raises(ValueError, match="INPUT.FORMAT = 'YUV-BT.601'; expected 'RGB' or 'BGR'"):
        build_model(small("semantic_source.yaml", "INPUT.FORMAT", "YUV-BT.601"))
