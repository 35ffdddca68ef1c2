"""What a camera makes of a scene: blur, white balance, exposure, vignetting, noise, JPEG."""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np

GREY = 108.0  # level that a change of contrast leaves alone


class Film(Protocol):
    """Ranges (low, high) of the properties of a camera.

    Attributes:
        exposure, contrast, saturation: factors.
        white_balance: standard deviation of the red and blue gains.
        vignetting: loss of light in the corners, 0..1.
        blur_px: standard deviation in pixels at 256 pixels width.
        sensor_noise: standard deviation, grey levels.
        jpeg_quality: 100 = not compressed.
    """

    @property
    def exposure(self) -> tuple[float, float]: ...
    @property
    def white_balance(self) -> float: ...
    @property
    def contrast(self) -> tuple[float, float]: ...
    @property
    def saturation(self) -> tuple[float, float]: ...
    @property
    def vignetting(self) -> tuple[float, float]: ...
    @property
    def blur_px(self) -> tuple[float, float]: ...
    @property
    def sensor_noise(self) -> tuple[float, float]: ...
    @property
    def jpeg_quality(self) -> tuple[int, int]: ...


def photograph(image: np.ndarray, film: Film, rng: np.random.Generator) -> np.ndarray:
    """Picture of a scene.

    Args:
        image: (H, W, 3) float32 RGB, about 0..255.
        film: its ranges are drawn from anew for every picture.
        rng: source of all randomness.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    sigma = rng.uniform(*film.blur_px) * image.shape[1] / 256
    if sigma > 0.2:
        image = cv2.GaussianBlur(image, (0, 0), sigma)
    image = _vignetted(_developed(image, film, rng), rng.uniform(*film.vignetting))
    noise = rng.uniform(*film.sensor_noise)
    if noise > 0:
        image = image + np.float32(noise) * rng.standard_normal(image.shape, np.float32)
    picture = np.clip(image, 0, 255).astype(np.uint8)
    quality = int(rng.integers(film.jpeg_quality[0], film.jpeg_quality[1] + 1))
    return _compressed(picture, quality) if quality < 100 else picture


def _developed(image: np.ndarray, film: Film, rng: np.random.Generator) -> np.ndarray:
    """White balance, exposure, saturation and contrast."""
    balance = 1 + film.white_balance * rng.normal(0, 1, 3) * np.array([1.0, 0.3, 1.0])
    image = image * (rng.uniform(*film.exposure) * balance).astype(np.float32)
    grey = image.mean(axis=2, keepdims=True)
    image = grey + np.float32(rng.uniform(*film.saturation)) * (image - grey)
    return GREY + np.float32(rng.uniform(*film.contrast)) * (image - GREY)


def _vignetted(image: np.ndarray, loss: float) -> np.ndarray:
    """Darker towards the corners, which lose this share of the light."""
    v = np.linspace(-1, 1, image.shape[0], dtype=np.float32)[:, None]
    u = np.linspace(-1, 1, image.shape[1], dtype=np.float32)[None, :]
    return image * (1 - np.float32(0.5 * loss) * (u * u + v * v))[..., None]


def _compressed(picture: np.ndarray, quality: int) -> np.ndarray:
    code = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.ascontiguousarray(np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.uint8)[..., ::-1])
