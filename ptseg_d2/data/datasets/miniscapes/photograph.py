"""What the camera of a look makes of a scene: blur, white balance, exposure, vignetting, noise, JPEG."""

from __future__ import annotations

import cv2
import numpy as np

from .looks import Look

GREY = 108.0  # level that a change of contrast leaves alone


def photograph(image: np.ndarray, look: Look, rng: np.random.Generator) -> np.ndarray:
    """Picture of a scene.

    Args:
        image: (H, W, 3) float32 RGB, about 0..255.
        look: its ranges are drawn from anew for every picture.
        rng: source of all randomness.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    sigma = rng.uniform(*look.blur_px) * image.shape[1] / 256
    if sigma > 0.2:
        image = cv2.GaussianBlur(image, (0, 0), sigma)
    image = _vignetted(_developed(image, look, rng), rng.uniform(*look.vignetting))
    noise = rng.uniform(*look.sensor_noise)
    if noise > 0:
        image = image + np.float32(noise) * rng.standard_normal(image.shape, np.float32)
    picture = np.clip(image, 0, 255).astype(np.uint8)
    quality = int(rng.integers(look.jpeg_quality[0], look.jpeg_quality[1] + 1))
    return _compressed(picture, quality) if quality < 100 else picture


def _developed(image: np.ndarray, look: Look, rng: np.random.Generator) -> np.ndarray:
    """White balance, exposure, saturation and contrast."""
    balance = 1 + look.white_balance * rng.normal(0, 1, 3) * np.array([1.0, 0.3, 1.0])
    image = image * (rng.uniform(*look.exposure) * balance).astype(np.float32)
    grey = image.mean(axis=2, keepdims=True)
    image = grey + np.float32(rng.uniform(*look.saturation)) * (image - grey)
    return GREY + np.float32(rng.uniform(*look.contrast)) * (image - GREY)


def _vignetted(image: np.ndarray, loss: float) -> np.ndarray:
    """Darker towards the corners, which lose this share of the light."""
    v = np.linspace(-1, 1, image.shape[0], dtype=np.float32)[:, None]
    u = np.linspace(-1, 1, image.shape[1], dtype=np.float32)[None, :]
    return image * (1 - np.float32(0.5 * loss) * (u * u + v * v))[..., None]


def _compressed(picture: np.ndarray, quality: int) -> np.ndarray:
    code = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.ascontiguousarray(np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.uint8)[..., ::-1])
