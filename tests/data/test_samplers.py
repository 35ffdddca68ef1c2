"""Draws: frequencies by hand, every image once per epoch."""

from __future__ import annotations

from ptseg_d2.data.samplers import ImageSampler, by_importance, by_rare_class, shuffled
from ptseg_d2.errors import DataError

import numpy as np
import pytest

# Pixels of classes 0, 1 and 2 in four images of 100 pixels: 300, 80 and 20 of 400.
PIXELS = np.array([[100, 0, 0], [95, 0, 5], [80, 5, 15], [25, 75, 0]])


def frequencies(draw: ImageSampler, num_images: int, num_draws: int = 8000) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.bincount([draw(0, rng).image_index for _ in range(num_draws)], minlength=num_images) / num_draws


def test_every_image_once_per_epoch() -> None:
    rng = np.random.default_rng(0)
    draw = shuffled(5, seed=3)
    epochs = [[draw(position, rng) for position in range(start, start + 5)] for start in (0, 5)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == [(i, None) for i in range(5)]
    assert epochs[0] != epochs[1]


def test_importance_follows_the_predicted_shares() -> None:
    # Class 0 fills images 0 and 1 as 3 : 1, class 1 only image 2, class 2 nothing.
    draw = by_importance(np.array([[3.0, 0, 0], [1, 0, 0], [0, 5, 0]]), uniform=0.0)
    np.testing.assert_allclose(frequencies(draw, 3), [3 / 8, 1 / 8, 4 / 8], atol=0.02)


def test_importance_with_uniform_share() -> None:
    # w_i = .25 / N + .75 frac_c(i) ([SAC], "importance weights")
    draw = by_importance(np.array([[1.0], [0.0]]), uniform=0.25)
    assert frequencies(draw, 2)[1] == pytest.approx(0.125, abs=0.015)


def test_uniform_classes_keep_their_turn_and_draw_any_image() -> None:
    # Class 0 fills image 0; class 1, though it is in image 1 only, and class 2, which is nowhere, draw one of four.
    shares = np.array([[2.0, 0, 0], [0, 9, 0], [0, 0, 0], [0, 0, 0]])
    draw = by_importance(shares, uniform=0.0, uniform_classes=[1, 2])
    np.testing.assert_allclose(frequencies(draw, 4), [1 / 3 + 2 / 12, 1 / 6, 1 / 6, 1 / 6], atol=0.02)
    assert shares.sum() == 11  # the caller's own


def test_without_uniform_classes_draws_are_those_of_the_published_results() -> None:
    """The arithmetic from before there were any, number by number."""
    shares = np.random.default_rng(1).random((50, 6)) * [1, 0, 3, 1, 0, 5]
    totals = shares.sum(axis=0)
    weights = 0.25 / 50 + 0.75 * (shares[:, totals > 0] / totals[totals > 0])
    cumulative = np.cumsum(weights, axis=0)
    draw, rng, again = by_importance(shares, 0.25), np.random.default_rng(2), np.random.default_rng(2)
    for position in range(500):
        column = cumulative[:, again.integers(4)]
        expected = min(int(np.searchsorted(column, again.random() * column[-1])), 49)
        assert draw(position, rng) == (expected, None)


def test_importance_without_any_class_is_an_error() -> None:
    with pytest.raises(DataError, match="no class occurs"):
        by_importance(np.zeros((3, 2)), uniform=0.25, uniform_classes=[1])


def test_rare_classes_follow_the_softmax() -> None:
    """f = .75, .2, .05, so with T = .5 the weights are e^.5, e^1.6, e^1.9; classes 1 and 2 are in two images each."""
    draw = by_rare_class(PIXELS, temperature=0.5, min_area=0.0, classes=range(3))
    weights = np.exp([0.5, 1.6, 1.9])
    p = weights / weights.sum()
    rng = np.random.default_rng(0)
    drawn = [draw(position, rng) for position in range(8000)]
    classes = np.bincount([d.focus_class or 0 for d in drawn]) / 8000
    np.testing.assert_allclose(classes, p, atol=0.02)
    expected = [p[0] / 4, p[0] / 4 + p[2] / 2, p[0] / 4 + p[1] / 2 + p[2] / 2, p[0] / 4 + p[1] / 2]
    np.testing.assert_allclose(np.bincount([d.image_index for d in drawn]) / 8000, expected, atol=0.02)


def test_published_temperature_draws_the_rarest_class_most() -> None:
    # T = .01: class 1 is e^-15 times as likely as class 2.
    draw = by_rare_class(PIXELS, temperature=0.01, min_area=0.0, classes=range(3))
    rng = np.random.default_rng(0)
    assert {draw(p, rng).focus_class for p in range(100)} == {2}


def test_image_must_show_enough_of_the_class_where_one_does() -> None:
    assert frequencies(by_rare_class(PIXELS, 0.1, min_area=0.1, classes=[2]), 4).tolist() == [0, 0, 1, 0]
    either = frequencies(by_rare_class(PIXELS, 0.1, min_area=0.5, classes=[2]), 4)  # none has that much
    np.testing.assert_allclose(either, [0, 0.5, 0.5, 0], atol=0.02)


def test_rare_classes_are_those_asked_for_that_occur() -> None:
    pixels = np.array([[90, 10, 0], [99, 1, 0], [0, 0, 0]])  # the last image is all void
    draw = by_rare_class(pixels, 0.01, min_area=0.0, classes=[0, 2])
    rng = np.random.default_rng(0)
    drawn = [draw(p, rng) for p in range(50)]
    assert {d.focus_class for d in drawn} == {0} and {d.image_index for d in drawn} == {0, 1}
    with pytest.raises(DataError, match="none of its classes occurs"):
        by_rare_class(pixels, 0.01, min_area=0.0, classes=[2])
    with pytest.raises(ValueError, match=r"RARE_CLASS_TEMPERATURE = -0\.1"):
        by_rare_class(pixels, -0.1, min_area=0.0, classes=[0])
