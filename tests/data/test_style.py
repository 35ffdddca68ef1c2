"""FDA against the textbook form of benchmarks/bench_fda.py; colour statistics against their definition."""

from __future__ import annotations

import logging
from pathlib import Path

from ptseg_d2.data.loader import StreamDataset
from ptseg_d2.data.samplers import shuffled
from ptseg_d2.data.style import RandomStyle, amplitude_swap, match_colors, match_statistics
from ptseg_d2.errors import DataError
from ptseg_d2.random_states import seeded

import cv2
import numpy as np
import pytest
import torch
from bench_fda import BETAS, TOLERANCE, street_like, textbook_fda


@pytest.mark.parametrize("size_hw", [(12, 16), (13, 16), (12, 17), (41, 33), (1, 1), (2, 3)])
@pytest.mark.parametrize("beta", [0.0, 0.01, 0.05, 0.09, 0.3, 0.49])
@pytest.mark.parametrize("clipped", [False, True])
def test_equals_the_textbook_form(size_hw: tuple[int, int], beta: float, clipped: bool) -> None:
    rng = np.random.default_rng(0)
    source, target = rng.uniform(*((0, 255) if clipped else (110, 130)), (2, 3, *size_hw))
    expected = textbook_fda(source, target, beta)
    if not clipped:
        assert expected.min() > 0 and expected.max() < 255  # else clipping would hide a difference
    swapped = amplitude_swap(torch.from_numpy(source), torch.from_numpy(target), beta)
    assert np.abs(swapped.numpy() - expected.clip(0, 255)).max() < 1e-9


def test_float32_is_exact_to_a_hundredth_of_a_grey_level() -> None:
    source, target = street_like((90, 161), 0), street_like((90, 161), 1)
    for beta in BETAS:
        swapped = amplitude_swap(torch.from_numpy(source), torch.from_numpy(target), beta)
        assert np.abs(swapped.numpy() - textbook_fda(source, target, beta).clip(0, 255)).max() < TOLERANCE


def test_window_of_the_textbook_form_is_symmetric() -> None:
    """Its result is real before the imaginary part is dropped, at even and odd sizes: the phases are the source's."""
    for size_hw in ((12, 16), (13, 17)):
        source, target = np.random.default_rng(0).uniform(0, 255, (2, 1, *size_hw))
        spectra = [np.fft.fft2(image) for image in (source, textbook_fda(source, target, 0.3))]
        angles = [spectrum[0, 1:3, 1:3] / np.abs(spectrum[0, 1:3, 1:3]) for spectrum in spectra]
        assert np.allclose(angles[0], angles[1])
        assert np.allclose(np.abs(spectra[1][0, 1:3, 1:3]), np.abs(np.fft.fft2(target)[0, 1:3, 1:3]))


def test_inputs_are_not_changed() -> None:
    source, target = torch.rand(2, 3, 8, 8) * 255
    copies = source.clone(), target.clone()
    amplitude_swap(source, target, 0.2)
    assert torch.equal(source, copies[0]) and torch.equal(target, copies[1])


def test_swap_with_itself_is_identity_and_range_is_kept() -> None:
    image, other = torch.rand(2, 3, 16, 24) * 255
    assert torch.allclose(amplitude_swap(image, image, 0.2), image, atol=1e-3)
    swapped = amplitude_swap(image, 255 * (other > 128).float(), 0.3)
    assert 0 <= swapped.min() and swapped.max() <= 255


def test_beta_zero_moves_the_mean_colour_only() -> None:
    source, target = 100 + 20 * torch.rand(3, 8, 8), 60 + 20 * torch.rand(3, 8, 8)
    shift = (target.mean((1, 2)) - source.mean((1, 2)))[:, None, None]
    assert torch.allclose(amplitude_swap(source, target, 0.0), source + shift, atol=1e-3)


def test_rejects_other_size_and_beta() -> None:
    with pytest.raises(ValueError, match="one size"):
        amplitude_swap(torch.zeros(3, 8, 8), torch.zeros(3, 8, 9), 0.1)
    with pytest.raises(ValueError, match="beta"):
        amplitude_swap(torch.zeros(3, 8, 8), torch.zeros(3, 8, 8), 0.5)


def lab(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB).reshape(-1, 3)


def test_statistics_of_the_result_are_the_targets() -> None:
    """Muted images of different sizes, so that no colour leaves the RGB cube; tolerance is 8-bit rounding."""
    rng = np.random.default_rng(0)
    source = rng.integers(90, 150, (30, 40, 3), dtype=np.uint8)
    target = (rng.integers(0, 40, (20, 50, 3)) + np.array([120, 100, 90])).astype(np.uint8)
    matched = lab(match_statistics(source, target))
    assert np.allclose(matched.mean(0), lab(target).mean(0), atol=0.3)
    assert np.allclose(matched.std(0), lab(target).std(0), atol=0.3)


def test_matching_with_itself_is_identity() -> None:
    image = np.random.default_rng(1).integers(0, 256, (10, 12, 3), dtype=np.uint8)
    assert np.abs(match_statistics(image, image).astype(int) - image).max() <= 1


def test_constant_source_becomes_the_mean_colour() -> None:
    source = np.full((4, 4, 3), 128, dtype=np.uint8)
    target = np.full((4, 4, 3), (200, 100, 50), dtype=np.uint8)
    assert np.abs(match_statistics(source, target).astype(int) - target).max() <= 1


def stained() -> np.ndarray:
    """Dark purple on light pink, in shares of 1:3, with a little noise."""
    image = np.empty((32, 32, 3))
    image[:], image[:16, :16] = (240, 200, 220), (70, 20, 130)
    return (image + np.random.default_rng(0).normal(0, 3, image.shape)).clip(0, 255).astype(np.uint8)


def test_grey_levels_become_the_colors_that_the_target_has_there() -> None:
    source = np.full((20, 40, 3), 250, np.uint8)
    source[:10, :20] = 200  # as many dark pixels as in the target, but neither as dark nor coloured
    colored = match_colors(source, stained()).astype(int)
    assert np.abs(colored[0, 0] - (70, 20, 130)).max() <= 6
    assert np.abs(colored[-1, -1] - (240, 200, 220)).max() <= 6


def test_a_source_of_one_value_becomes_one_color_of_the_target_s_mean_lightness() -> None:
    target = stained()
    colored = match_colors(np.full((3, 5, 3), 9, np.uint8), target)
    assert len(np.unique(colored.reshape(-1, 3), axis=0)) == 1
    lightness = [cv2.cvtColor(i.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[..., 0].mean() for i in (colored, target)]
    assert lightness[0] == pytest.approx(lightness[1], abs=0.5)


def test_colors_of_a_colourless_target_are_grey() -> None:
    target = np.repeat(np.random.default_rng(0).integers(0, 256, (8, 8, 1), dtype=np.uint8), 3, axis=2)
    colored = match_colors(stained(), target).astype(int)
    assert np.ptp(colored, axis=2).max() <= 1


def test_a_target_image_that_cannot_be_read_is_named_once_and_another_drawn(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    assert cv2.imwrite(str(good), np.full((4, 4, 3), 200, np.uint8))
    bad.write_bytes(b"no image")
    restyle = RandomStyle("statistics", [str(bad), str(good)], probability=1.0, beta=0.01)
    image = np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8)
    with caplog.at_level(logging.WARNING, logger="ptseg_d2"), seeded(0):
        restyled = [restyle(image) for _ in range(20)]
    expected = match_statistics(image, np.full((4, 4, 3), 200, np.uint8))
    assert all((one == expected).all() for one in restyled)
    assert len(caplog.records) == 1 and "bad.png" in caplog.records[0].getMessage()


def test_without_a_readable_target_image_training_ends(tmp_path: Path) -> None:
    """And does not go on with source images that keep their look."""
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    restyle = RandomStyle("statistics", [str(bad)], probability=0.9, beta=0.01)
    image = np.zeros((4, 4, 3), np.uint8)
    stream = StreamDataset(
        [{"file_name": "source.png"}], lambda item: {"image": restyle(image)}, shuffled(1, 0), seed=0
    )
    with pytest.raises(ValueError, match=r"20 images in a row of DATASETS.TARGET could not be read.*bad.png") as caught:
        for position in range(50):
            stream[position]
    assert not isinstance(caught.value, DataError)
