"""FDA against the full, shifted spectrum; colour statistics against their definition."""

from __future__ import annotations

from ptseg_d2.data.style import amplitude_swap, match_statistics

import cv2
import numpy as np
import pytest
import torch


def slow_fda(source: np.ndarray, target: np.ndarray, beta: float) -> np.ndarray:
    """FDA with the complete spectrum, zero frequency moved to the centre, one frequency at a time."""
    height, width = source.shape[1:]
    radius = int(np.floor(min(height, width) * beta))
    result = np.empty(source.shape)
    for channel in range(len(source)):
        spectrum = np.fft.fftshift(np.fft.fft2(source[channel]))
        other = np.fft.fftshift(np.fft.fft2(target[channel]))
        for y in range(height // 2 - radius, height // 2 + radius + 1):
            for x in range(width // 2 - radius, width // 2 + radius + 1):
                spectrum[y, x] = abs(other[y, x]) * np.exp(1j * np.angle(spectrum[y, x]))
        image = np.fft.ifft2(np.fft.ifftshift(spectrum))
        assert abs(image.imag).max() < 1e-9  # the centred window is Hermitian-symmetric
        result[channel] = image.real
    return result.clip(0, 255)


@pytest.mark.parametrize("size_hw", [(12, 16), (13, 16), (12, 17), (13, 17)])
@pytest.mark.parametrize("beta", [0.0, 0.1, 0.3, 0.49])
def test_equals_the_full_spectrum(size_hw: tuple[int, int], beta: float) -> None:
    rng = np.random.default_rng(0)
    source, target = rng.uniform(0, 255, (2, 3, *size_hw))
    swapped = amplitude_swap(torch.from_numpy(source), torch.from_numpy(target), beta)
    assert np.abs(swapped.numpy() - slow_fda(source, target, beta)).max() < 1e-9


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
