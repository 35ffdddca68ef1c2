"""Label maps in colours: by hand."""

from __future__ import annotations

import base64
import io

from ptseg_d2.visualization.panels import (
    OUTLINE_COLOR,
    data_uri,
    distinct_colors,
    enlarge,
    join_pair,
    outlines,
    paint_pseudo_classes,
    paint_pseudo_instances,
    paint_segments,
    shrink_labels_to,
    shrink_photo,
    split_pair,
)

import numpy as np
from PIL import Image

COLORS = [(10, 20, 30), (40, 50, 60)]
WHITE = list(OUTLINE_COLOR)


def test_segments_in_the_colours_of_their_classes() -> None:
    """Stuff 7 of class 0; things 9 and 5 of class 1, side by side; id 3 is in no list: void, as 0 is."""
    ids = np.array([[7, 7, 7, 7, 0, 3], [9, 9, 9, 5, 5, 5]])
    segments = [
        {"id": 7, "category_id": 0, "isthing": False},
        {"id": 9, "category_id": 1, "isthing": True},
        {"id": 5, "category_id": 1, "isthing": True},
    ]
    picture = paint_segments(ids, segments, COLORS, width=6)
    assert picture[0].tolist() == [[10, 20, 30]] * 4 + [[0, 0, 0]] * 2
    assert picture[1].tolist() == [WHITE] * 6  # all of these pixels touch another segment
    large = paint_segments(ids, segments, COLORS, width=48)
    assert large.shape == (16, 48, 3)
    assert large[12, 4].tolist() == [40, 50, 60] and large[12, 23].tolist() == large[8, 4].tolist() == WHITE


def test_nothing_predicted_is_black() -> None:
    assert not paint_segments(np.zeros((2, 4), dtype=int), [], COLORS, width=4).any()


def test_outlines_lie_inside() -> None:
    ids = np.zeros((5, 5), dtype=int)
    ids[1:4, 1:4] = 1
    expected = np.zeros((5, 5), dtype=bool)
    expected[1:4, 1:4] = True
    expected[2, 2] = False
    assert np.array_equal(outlines(ids, ids > 0), expected)


def test_unsure_pixels_are_grey_and_sure_ones_coloured() -> None:
    image = np.full((8, 8, 3), 100, dtype=np.uint8)
    labels = np.full((8, 8), 255)
    labels[0] = 1
    picture = paint_pseudo_classes(image, labels, COLORS)
    assert picture[0, 0].tolist() == [61, 68, 74]  # .35 * 100 + .65 * color
    assert (np.ptp(picture[1:].astype(int), axis=2) == 0).all() and len(np.unique(picture[1:])) == 2


def test_stable_instances_are_coloured_and_unstable_ones_grey() -> None:
    image = np.full((6, 9, 3), 100, dtype=np.uint8)
    ids = np.zeros((6, 9), dtype=int)
    ids[:, :3], ids[:, 3:6] = 1, -1
    # The dim image is 60 % of the grey level; .35 * 60 + .65 * 230 on unstable pixels.
    picture = paint_pseudo_instances(image, ids)
    assert np.ptp(picture[2, 0].astype(int)) > 0 and picture[2, 2].tolist() == WHITE
    assert picture[2, 4].tolist() == [170] * 3 and picture[2, 8].tolist() == [60] * 3
    assert (paint_pseudo_instances(image, np.zeros((6, 9), dtype=int)) == 60).all()


def test_colours_differ() -> None:
    colors = distinct_colors(24)
    assert len(np.unique(colors, axis=0)) == 24
    assert np.array_equal(colors[:3], distinct_colors(3)) and distinct_colors(0).shape == (0, 3)


def test_sizes() -> None:
    labels = np.arange(8).reshape(2, 4)
    assert enlarge(labels, 8)[0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert enlarge(labels, 2).tolist() == [[0, 2]]
    assert shrink_labels_to(labels, (1, 2)).tolist() == [[5, 7]]
    assert shrink_labels_to(labels, (2, 4)).tolist() == labels.tolist()
    assert shrink_photo(np.zeros((100, 1024, 3), np.uint8)).shape == (50, 512, 3)
    assert shrink_photo(np.zeros((100, 100, 3), np.uint8)).shape == (100, 100, 3)


def test_a_pair_comes_apart_again() -> None:
    left, right = np.random.default_rng(0).integers(0, 255, (2, 4, 7, 3), dtype=np.uint8)
    again = split_pair(join_pair(left, right))
    assert np.array_equal(again[0], left) and np.array_equal(again[1], right)


def test_few_colours_are_kept_exactly_and_photographs_nearly() -> None:
    def decode(uri: str) -> np.ndarray:
        return np.array(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB"))

    labels = distinct_colors(200)[np.random.default_rng(0).integers(0, 200, (32, 64))]
    assert data_uri(labels).startswith("data:image/png") and np.array_equal(decode(data_uri(labels)), labels)
    many = np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)  # more than a palette holds
    assert np.array_equal(decode(data_uri(many)), many)
    photo = np.stack(np.broadcast_arrays(*np.ogrid[:64, :128], 90), axis=2).astype(np.uint8)
    assert data_uri(photo, is_photo=True).startswith("data:image/jpeg")
    assert np.abs(decode(data_uri(photo, is_photo=True)).astype(int) - photo).max() <= 8
