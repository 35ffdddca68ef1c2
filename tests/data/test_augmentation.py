"""Crops are exact where they can be checked by eye; photometry is drawn from torch's generator."""

from __future__ import annotations

import math

from ptseg_d2.data.augmentation import (
    ColorAugmentation,
    Photometric,
    duotone,
    invert,
    random_crop_affine,
    stretch_contrast,
    warp_image,
    warp_labels,
)

import numpy as np
import pytest
import torch
from torchvision.transforms import v2


def test_scale_one_crop_of_full_size_is_the_image() -> None:
    image = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    affine = random_crop_affine((6, 8), (6, 8), (1.0, 1.0), flip=0.0)
    assert np.array_equal(warp_image(image, affine, (6, 8)), image)


def test_certain_flip_mirrors_image_and_labels_alike() -> None:
    labels = np.arange(48, dtype=np.int16).reshape(6, 8)
    affine = random_crop_affine((6, 8), (6, 8), (1.0, 1.0), flip=1.0)
    assert np.array_equal(warp_labels(labels, affine, (6, 8)), labels[:, ::-1])


def test_double_size_repeats_every_label_twice() -> None:
    labels = np.array([[1, 2], [3, 4]], np.int16)
    affine = random_crop_affine((2, 2), (4, 4), (2.0, 2.0), flip=0.0)
    expected = [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]
    assert warp_labels(labels, affine, (4, 4)).tolist() == expected


def test_crop_beyond_the_image_is_void_and_shows_the_whole_image() -> None:
    np.random.seed(0)
    labels = np.full((4, 4), 7, np.int16)
    for _ in range(20):
        affine = random_crop_affine((4, 4), (8, 8), (1.0, 1.0), flip=0.5)
        warped = warp_labels(labels, affine, (8, 8))
        assert set(np.unique(warped)) == {7, 255}
        # Nearest sampling at fractional shifts may lose at most one row and one column.
        assert 9 <= (warped == 7).sum() <= 25


def test_instance_ids_outside_are_ignored() -> None:
    affine = np.array([[1.0, 0.0, 2.0], [0.0, 1.0, 0.0]])
    assert warp_labels(np.ones((1, 2), np.int16), affine, (1, 4), outside=-1).tolist() == [[-1, -1, 1, 1]]


def test_photometric_is_a_function_of_the_seed() -> None:
    image = torch.randint(0, 256, (3, 16, 16), dtype=torch.uint8)
    photometric = Photometric(
        jitter=0.5, jitter_probability=1, blur=(0.1, 1.5), blur_probability=1, grey=0.5, gamma=0.5, noise=8
    )
    results = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        results.append(photometric(image))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
    assert results[0].dtype == torch.uint8


def test_photometric_without_options_changes_nothing() -> None:
    image = torch.randint(0, 256, (3, 8, 8), dtype=torch.uint8)
    plain = Photometric(jitter=0, jitter_probability=0, blur=(0.1, 1.0), blur_probability=0)
    assert torch.equal(plain(image), image)


def test_hue_is_a_quarter_of_the_jitter_unless_it_is_given() -> None:
    image = torch.randint(0, 256, (3, 8, 8), dtype=torch.uint8)
    results = []
    for hue in (None, 0.1, 0.0):
        photometric = Photometric(jitter=0.4, jitter_probability=1, blur=(0.1, 1.0), blur_probability=0, hue=hue)
        torch.manual_seed(1)
        results.append(photometric(image))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_hue_alone_keeps_grey_images() -> None:
    photometric = Photometric(jitter=0, jitter_probability=1, blur=(0.1, 1.0), blur_probability=0, hue=0.5)
    grey = torch.randint(0, 256, (1, 8, 8), dtype=torch.uint8).expand(3, -1, -1)
    red = torch.tensor([255, 0, 0], dtype=torch.uint8).view(3, 1, 1).expand(-1, 8, 8)
    assert torch.equal(photometric(grey), grey)
    assert not torch.equal(photometric(red), red)


def test_noise_is_that_of_torch_generator() -> None:
    image = torch.full((3, 8, 8), 100, dtype=torch.uint8)
    photometric = Photometric(jitter=0, jitter_probability=0, blur=(0.1, 1.0), blur_probability=0, noise=8)
    torch.manual_seed(1)
    found = photometric(image)
    torch.manual_seed(1)
    assert torch.equal(found, (image + 8 * torch.rand(()) * torch.randn(3, 8, 8)).round().to(torch.uint8))


def test_certain_gamma_draws_one_random_number() -> None:
    """As before there was a probability: measured results depend on the numbers that come after."""
    image = torch.randint(0, 256, (3, 8, 8), dtype=torch.uint8)
    torch.manual_seed(1)
    exponent = math.exp(0.5 * (2 * float(torch.rand(())) - 1))
    expected, following = v2.functional.adjust_gamma(image, exponent), torch.rand(())
    torch.manual_seed(1)
    photometric = Photometric(jitter=0, jitter_probability=0, blur=(0.1, 1.0), blur_probability=0, gamma=0.5)
    assert torch.equal(photometric(image), expected) and torch.rand(()) == following


@pytest.mark.parametrize("probability", [0.0, 0.3])
def test_share_of_images_with_another_gamma(probability: float) -> None:
    image = torch.full((3, 2, 2), 100, dtype=torch.uint8)
    torch.manual_seed(0)
    photometric = Photometric(
        jitter=0, jitter_probability=0, blur=(0.1, 1.0), blur_probability=0, gamma=2.0, gamma_probability=probability
    )
    changed = [not torch.equal(photometric(image), image) for _ in range(2000)]
    assert sum(changed) / 2000 == pytest.approx(probability, abs=0.03)


def gray(*levels: int) -> np.ndarray:
    """(1, len(levels), 3) uint8."""
    return np.repeat(np.array(levels, np.uint8)[None, :, None], 3, axis=2)


def test_inverting_twice_is_nothing() -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    assert invert(gray(0, 5, 255)).tolist() == gray(255, 250, 0).tolist()
    assert np.array_equal(invert(invert(image)), image)


def test_stretching_fills_the_range() -> None:
    assert stretch_contrast(gray(10, 20, 15)).tolist() == gray(0, 255, 128).tolist()
    assert stretch_contrast(gray(7, 7)).tolist() == gray(7, 7).tolist()


def test_one_hot_pixel_does_not_decide_the_contrast() -> None:
    image = gray(*[10] * 500, *[20] * 499, 255)
    assert stretch_contrast(image, outside=0.01).tolist() == gray(*[0] * 500, *[255] * 500).tolist()


def test_stretching_keeps_the_order_of_channels() -> None:
    image = np.array([[[10, 20, 30], [30, 20, 10]]], np.uint8)
    assert stretch_contrast(image).tolist() == [[[0, 128, 255], [255, 128, 0]]]


def test_duotone_is_a_line_between_two_colors() -> None:
    drawn = duotone(gray(0, 51, 255), dark=(10, 20, 200), light=(110, 20, 100))
    assert drawn.tolist() == [[[10, 20, 200], [30, 20, 180], [110, 20, 100]]]


def test_color_augmentation_with_certainty_and_with_none() -> None:
    image = gray(10, 20, 15)
    state = np.random.get_state()[1].tolist()  # type: ignore[index, union-attr]
    assert np.array_equal(ColorAugmentation()(image), image)
    assert np.random.get_state()[1].tolist() == state  # type: ignore[index, union-attr]
    assert np.array_equal(ColorAugmentation(stretch=1, invert=1)(image), gray(255, 0, 127))


def test_a_random_duotone_keeps_the_order_of_grey_levels() -> None:
    np.random.seed(0)
    luma = [ColorAugmentation(duotone=1)(gray(0, 128, 255))[0] @ (0.299, 0.587, 0.114) for _ in range(20)]
    assert all(dark <= middle <= light for dark, middle, light in luma)
    assert len({tuple(values) for values in luma}) == 20
