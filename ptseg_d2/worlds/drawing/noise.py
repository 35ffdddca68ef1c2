"""Tileable fractal noise, the raw material of every texture."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

SIZE = 512  # texels along a side of every tile
TILES = 3  # different samples of each kind
GRAIN, WORN, CLOUDS = 0.7, 1.35, 1.7  # spectral exponents in use


@cache
def fractal_noise(exponent: float, number: int) -> np.ndarray:
    """Periodic Gaussian noise with amplitude spectrum 1 / frequency^exponent.

    Args:
        exponent: 0 is white noise, 1 looks like worn asphalt, 1.5 and more like clouds.
        number: which sample.

    Returns:
        (512, 512) float32, mean 0, standard deviation 1; shared, so read only.
    """
    white = np.random.default_rng([number, 9]).standard_normal((SIZE, SIZE))
    frequencies = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.rfftfreq(SIZE)[None, :])
    frequencies[0, 0] = np.inf
    noise = np.fft.irfft2(np.fft.rfft2(white) * frequencies**-exponent, (SIZE, SIZE))
    noise = (noise / noise.std()).astype(np.float32)
    noise.setflags(write=False)
    return noise


def crop_noise(rng: np.random.Generator, exponent: float, height: int, width: int) -> np.ndarray:
    """A random window of the tile, wrapped round as often as needed: (height, width) float32."""
    tile = fractal_noise(exponent, int(rng.integers(TILES)))
    top, left = rng.integers(SIZE, size=2)
    rows = (np.arange(height) + top) % SIZE
    columns = (np.arange(width) + left) % SIZE
    return tile[rows[:, None], columns[None, :]]


def magnified_noise(rng: np.random.Generator, exponent: float, height: int, width: int, factor: int) -> np.ndarray:
    """A random window as `crop_noise` gives it, with texels this many pixels wide: (height, width) float32."""
    small = crop_noise(rng, exponent, height // factor + 2, width // factor + 2)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)
