"""Random geometry and photometry of training images. Images are uint8; H x W pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ptseg_d2.classes.tables import VOID

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms import v2


def random_crop_affine(
    size: tuple[int, int], crop: tuple[int, int], scale: tuple[float, float], flip: float
) -> NDArray[np.float64]:
    """A random resize, crop and horizontal flip as one affine map.

    Args:
        size: (height, width) of the image.
        crop: (height, width) of the result.
        scale: range of the size factor, relative to the image at its own size.
        flip: probability of the flip.

    Returns:
        (2, 3) matrix from image to crop pixel coordinates, for `cv2.warpAffine`. A crop larger than the
        resized image shows all of it at a random place.
    """
    factor = np.random.uniform(*scale)
    slack = [crop[axis] - factor * size[axis] for axis in (0, 1)]
    top, left = (np.random.uniform(min(0.0, room), max(0.0, room)) for room in slack)
    # Pixel centres: a crop pixel u looks at image position (u + .5 - left) / factor - .5.
    shift = 0.5 * factor - 0.5
    affine = np.array([[factor, 0.0, left + shift], [0.0, factor, top + shift]])
    if np.random.random() < flip:
        affine[0] = -affine[0]
        affine[0, 2] += crop[1] - 1
    return affine


BORDERS = {"grey": cv2.BORDER_CONSTANT, "reflect": cv2.BORDER_REFLECT_101}
"""What an image shows beside itself."""


def warp_image(
    image: NDArray[np.uint8], affine: NDArray[np.float64], crop: tuple[int, int], border: str = "grey"
) -> NDArray[np.uint8]:
    """(H, W, 3) -> (*crop, 3); bilinear, by area where it shrinks; outside of the image one of `BORDERS`."""
    factor = np.sqrt(abs(np.linalg.det(affine[:, :2])))
    if factor < 1:
        # warpAffine samples points: blur first, else thin poles flicker in and out.
        image = cv2.GaussianBlur(image, (0, 0), 0.4 / factor).astype(np.uint8)
    grey, mode = (127, 127, 127), BORDERS[border]
    warped = cv2.warpAffine(image, affine, crop[::-1], flags=cv2.INTER_LINEAR, borderMode=mode, borderValue=grey)
    return warped.astype(np.uint8)


def warp_labels(
    labels: NDArray[np.int16], affine: NDArray[np.float64], crop: tuple[int, int], outside: int = VOID
) -> NDArray[np.int64]:
    """(H, W) int16 ids -> crop, nearest; `outside` where the crop leaves the image. OpenCV warps no wider integers."""
    warped = cv2.warpAffine(labels, affine, crop[::-1], flags=cv2.INTER_NEAREST, borderValue=(outside,))
    return warped.astype(np.int64)


def invert(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The negative, of every channel: dark on light becomes light on dark. uint8 of any shape -> same."""
    return np.bitwise_not(image)  # 255 - x


def stretch_contrast(image: NDArray[np.uint8], outside: float = 0.001) -> NDArray[np.uint8]:
    """Spread the values over 0..255, by one line for all channels, so that colours keep their order.

    Args:
        image: (H, W, 3).
        outside: share of the values that may be clipped at either end, in (0, 0.5): else one hot pixel decides.

    Returns:
        (H, W, 3); an image of one value stays as it is.
    """
    shares = np.bincount(image.ravel(), minlength=256).cumsum() / image.size
    low, high = np.searchsorted(shares, (outside, 1 - outside), side="right")
    if high <= low:
        return image
    levels = np.rint((np.arange(256) - low) * (255 / (high - low))).clip(0, 255).astype(np.uint8)
    return levels[image]


def duotone(image: NDArray[np.uint8], dark: Sequence[float], light: Sequence[float]) -> NDArray[np.uint8]:
    """Draw the grey levels of an image in the colours between two, as a stain does.

    Args:
        image: (H, W, 3) RGB.
        dark, light: RGB in 0..255 that black and white become.

    Returns:
        (H, W, 3) RGB.
    """
    share = np.arange(256)[:, None] / 255
    colors = np.rint((1 - share) * np.asarray(dark) + share * np.asarray(light)).clip(0, 255).astype(np.uint8)
    return colors[cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)]


class ColorAugmentation:
    """Changes of polarity, contrast and colour that a uint8 image survives; draws from NumPy's global generator."""

    def __init__(self, *, stretch: float = 0.0, invert: float = 0.0, duotone: float = 0.0) -> None:
        """
        Args:
            stretch: share of the images whose values are spread over 0..255, see `stretch_contrast`.
            invert: share of the images that become their negative.
            duotone: share of the images whose grey levels are drawn between two random colours, the darker one for
                black.
        """
        self.stretch = stretch
        self.invert = invert
        self.duotone = duotone

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(H, W, 3) -> same."""
        if _is_drawn(self.stretch):
            image = stretch_contrast(image)
        if _is_drawn(self.invert):
            image = invert(image)
        if _is_drawn(self.duotone):
            dark, light = sorted(np.random.uniform(0, 255, (2, 3)), key=_brightness)
            image = duotone(image, dark, light)
        return image


def _is_drawn(probability: float) -> bool:
    """True with this probability; what is impossible draws no number, so that it leaves all later ones as they were."""
    return probability > 0 and np.random.random() < probability


def _brightness(color: NDArray[np.float64]) -> float:
    return float(color @ (0.299, 0.587, 0.114))


class Photometric:
    """Colour jitter, gamma, blur, grey and noise on a uint8 tensor; draws from torch's global generator."""

    def __init__(
        self,
        *,
        jitter: float,
        jitter_probability: float,
        blur: tuple[float, float],
        blur_probability: float,
        grey: float = 0.0,
        gamma: float = 0.0,
        gamma_probability: float = 1.0,
        noise: float = 0.0,
        hue: float | None = None,
    ) -> None:
        """
        Args:
            jitter: strength of brightness, contrast and saturation changes in [0, 1].
            jitter_probability: share of the images that are jittered.
            blur: range of the Gaussian sigma in pixels.
            blur_probability: share of the images that are blurred.
            grey: share of the images that lose their colour.
            gamma: gamma is drawn from exp(U[-gamma, gamma]); 0 = off.
            gamma_probability: share of the images with another gamma.
            noise: largest standard deviation of additive pixel noise, in grey levels.
            hue: strength of the jitter's hue changes in [0, 0.5]; None = a quarter of `jitter`.
        """
        steps: list[Any] = []
        hue = min(0.5, jitter / 4) if hue is None else hue
        if jitter > 0 or hue > 0:
            colour = v2.ColorJitter(jitter, jitter, jitter, hue)
            steps.append(v2.RandomApply([colour], p=jitter_probability))
        if blur_probability > 0:
            kernel = 2 * math.ceil(2 * blur[1]) + 1
            steps.append(v2.RandomApply([v2.GaussianBlur(kernel, blur)], p=blur_probability))
        if grey > 0:
            steps.append(v2.RandomGrayscale(p=grey))
        self.transform = v2.Compose(steps) if steps else v2.Identity()
        self.gamma = gamma
        self.gamma_probability = gamma_probability
        self.noise = noise

    def __call__(self, image: Tensor) -> Tensor:
        """(3, H, W) uint8 -> same."""
        image = self.transform(image)
        if self.gamma > 0 and self._is_chosen(self.gamma_probability):
            exponent = math.exp(self.gamma * (2 * float(torch.rand(())) - 1))
            image = v2.functional.adjust_gamma(image, exponent)
        if self.noise > 0:
            sigma = self.noise * float(torch.rand(()))
            clean = image.float()
            noisy = clean + sigma * torch.randn_like(clean)
            image = noisy.round().clamp(0, 255).to(torch.uint8)
        return image

    @staticmethod
    def _is_chosen(probability: float) -> bool:
        """True with this probability; certainty draws no number, so that it leaves all later ones as they were."""
        return probability >= 1 or float(torch.rand(())) < probability
