"""The id codec, by hand-computed values, round trips and panopticapi's own functions."""

from __future__ import annotations

from ptseg_d2.panoptic_ids import LABEL_DIVISOR, decode, encode, ids_to_rgb, rgb_to_ids

import numpy as np
import pytest
from panopticapi.utils import id2rgb, rgb2id


def test_encode_and_decode_numbers_by_hand() -> None:
    assert encode(26, 3) == 26003
    assert decode(26003) == (26, 3)
    assert decode(7) == (0, 7)
    assert LABEL_DIVISOR == 1000


def test_decode_inverts_encode_on_arrays() -> None:
    categories, instances = np.meshgrid(np.arange(34), np.array([0, 1, 500, 999]))
    back_categories, back_instances = decode(encode(categories, instances))
    np.testing.assert_array_equal(back_categories, categories)
    np.testing.assert_array_equal(back_instances, instances)


@pytest.mark.parametrize(("category", "instance"), [(-1, 0), (3, -1), (3, 1000)])
def test_encode_refuses_what_decode_could_not_return(category: int, instance: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        encode(category, instance)


def test_decode_refuses_negative_ids() -> None:
    with pytest.raises(ValueError, match=">= 0"):
        decode(-1)


def test_rgb_by_hand() -> None:
    ids = np.array([[0, 1, 255], [256, 65536, 256**3 - 1]])
    expected = [
        [[0, 0, 0], [1, 0, 0], [255, 0, 0]],
        [[0, 1, 0], [0, 0, 1], [255, 255, 255]],
    ]
    assert ids_to_rgb(ids).tolist() == expected
    assert ids_to_rgb(ids).dtype == np.uint8


def test_rgb_agrees_with_panopticapi() -> None:
    ids = np.random.default_rng(0).integers(0, 256**3, (13, 7))
    rgb = ids_to_rgb(ids)
    np.testing.assert_array_equal(rgb, id2rgb(ids))
    np.testing.assert_array_equal(rgb_to_ids(rgb), rgb2id(rgb))
    np.testing.assert_array_equal(rgb_to_ids(rgb), ids)


def test_int32_maps_and_empty_maps() -> None:
    ids = np.array([[70000]], dtype=np.int32)
    assert rgb_to_ids(ids_to_rgb(ids)).tolist() == [[70000]]
    assert ids_to_rgb(np.zeros((0, 4), dtype=np.int32)).shape == (0, 4, 3)


@pytest.mark.parametrize("value", [-1, 256**3])
def test_rgb_refuses_ids_beyond_24_bits(value: int) -> None:
    with pytest.raises(ValueError, match="16777216"):
        ids_to_rgb(np.array([[value]]))


@pytest.mark.parametrize("rgb", [np.zeros((2, 2), np.uint8), np.zeros((2, 2, 3), np.int64)])
def test_rgb_to_ids_refuses_other_arrays(rgb: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"\(H, W, 3\) uint8"):
        rgb_to_ids(rgb)
