"""Which image a stream shows next, and for which class it was chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from ptseg_d2.errors import DataError

import numpy as np

MAX_BAD_DRAWS = 20
"""Unusable images in a row after which a data set is given up."""


class Sample(NamedTuple):
    """What an `ImageSampler` chose.

    Attributes:
        image_index: of the image.
        focus_class: train id of the class it was drawn for, which its crop should show; None = no class.
    """

    image_index: int
    focus_class: int | None = None


class ImageSampler(Protocol):
    """Chooses an image, from a position in the stream and a random generator."""

    def __call__(self, position: int, rng: np.random.Generator) -> Sample: ...


def shuffled(num_images: int, seed: int) -> ImageSampler:
    """Every image once per epoch, in a new order each epoch."""

    def sample(position: int, rng: np.random.Generator) -> Sample:
        epoch, place = divmod(position, num_images)
        return Sample(int(np.random.default_rng((seed, epoch)).permutation(num_images)[place]))

    return sample


def by_importance(class_shares: np.ndarray, uniform: float, uniform_classes: Sequence[int] = ()) -> ImageSampler:
    """Class uniformly, then image by its share of that class's pixels ([SAC], "importance weights").

    Args:
        class_shares: (images, C) pixels of each class in each image, any unit. Classes that occur
            nowhere are not drawn.
        uniform: share of uniform sampling in each class's weights, in [0, 1].
        uniform_classes: columns of `class_shares` that are drawn whether they occur or not, and then any image.

    Raises:
        DataError: no class occurs.
    """
    totals = class_shares.sum(axis=0)
    if not totals.any():
        raise DataError("no class occurs in any predicted mask: the semantic network predicts nothing")
    by_share = totals > 0
    by_share[list(uniform_classes)] = False
    shares = class_shares[:, by_share] / totals[by_share]
    anywhere = np.full((len(class_shares), len(uniform_classes)), 1 / len(class_shares))
    weights = uniform / len(class_shares) + (1 - uniform) * np.concatenate([shares, anywhere], axis=1)
    cumulative = np.cumsum(weights, axis=0)

    def sample(position: int, rng: np.random.Generator) -> Sample:
        return Sample(_draw_from(cumulative[:, rng.integers(cumulative.shape[1])], rng))

    return sample


def by_rare_class(
    pixel_counts: np.ndarray, temperature: float, min_area: float, classes: Sequence[int]
) -> ImageSampler:
    """Class by its rarity, then uniformly an image that shows enough of it ([DAFormer], Eq. 9-10).

    P(c) = softmax((1 - f_c) / temperature), with f_c the share of class c in the labelled pixels of all images.

    Args:
        pixel_counts: (images, C) labelled pixels of each class in each image.
        temperature: > 0; the smaller, the more often the rarest classes are drawn.
        min_area: share of an image's labelled pixels that the class must cover; where no image has that much, any
            image that shows the class counts.
        classes: train ids that may be drawn. Those that occur nowhere are not drawn.

    Raises:
        DataError: none of the classes occurs.
        ValueError: the temperature is not positive.
    """
    if temperature <= 0:
        raise ValueError(f"INPUT.RARE_CLASS_TEMPERATURE = {temperature}; expected a positive number, or 0 = off")
    class_pixels = pixel_counts.sum(axis=0)
    drawable = [c for c in classes if class_pixels[c] > 0]
    if not drawable:
        raise DataError("rare-class sampling: none of its classes occurs in the labels of DATASETS.SOURCE")
    rarity = 1 - class_pixels[drawable] / class_pixels.sum()
    cumulative = np.cumsum(np.exp((rarity - rarity.max()) / temperature))
    areas = pixel_counts / pixel_counts.sum(axis=1, keepdims=True).clip(min=1)
    images_of = []
    for c in drawable:
        enough = np.flatnonzero((areas[:, c] >= min_area) & (areas[:, c] > 0))
        images_of.append(enough if len(enough) else np.flatnonzero(areas[:, c]))

    def sample(position: int, rng: np.random.Generator) -> Sample:
        choice = _draw_from(cumulative, rng)
        return Sample(int(rng.choice(images_of[choice])), drawable[choice])

    return sample


def _draw_from(cumulative: np.ndarray, rng: np.random.Generator) -> int:
    """Index drawn with probabilities proportional to the steps of a cumulative sum."""
    return min(int(np.searchsorted(cumulative, rng.random() * cumulative[-1])), len(cumulative) - 1)
