"""Give a source image the look of a target image, without learning: FDA, colour statistics, colours.

`RandomStyle` decides when, and of which target image. All work on raw images, values 0..255, before any normalisation.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from ptseg_d2.data.image_files import read_image
from ptseg_d2.data.samplers import MAX_BAD_DRAWS
from ptseg_d2.errors import DataError

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

logger = logging.getLogger(__name__)

LIGHTNESS_LEVELS = 255
"""Steps of Lab lightness 0..100 at which colours are told apart."""


def amplitude_swap(source: Tensor, target: Tensor, beta: float) -> Tensor:
    """Replace low-frequency amplitudes of the source by the target's, keep its phase ([FDA], "centred window").

    The window is the centred square of frequencies |fy|, |fx| <= floor(min(H, W) * beta). It is symmetric, so the
    result is real and half of it suffices; beta = 0 swaps the mean colour. All other frequencies stay as they are:
    only the window is transformed, and the change within it is added to the source.

    Args:
        source: (C, H, W) float, values 0..255.
        target: (C, H, W) float, values 0..255, same size.
        beta: half side of the window as a share of the shorter image side, in [0, 0.5).

    Returns:
        (C, H, W) float, clipped to 0..255.

    Raises:
        ValueError: sizes differ, or beta is outside [0, 0.5).
    """
    if source.shape != target.shape:
        raise ValueError(
            f"FDA needs images of one size, got source {tuple(source.shape)} and target "
            f"{tuple(target.shape)}: resize or crop the target first."
        )
    if not 0 <= beta < 0.5:
        raise ValueError(f"FDA beta is {beta}, expected a share of the shorter image side in [0, 0.5).")
    size_hw = (source.shape[-2], source.shape[-1])
    radius = int(min(size_hw) * beta)
    spectrum = _low_frequencies(source, radius)
    change = torch.polar(_low_frequencies(target, radius).abs(), spectrum.angle()) - spectrum
    return (source + _from_low_frequencies(change, size_hw)).clamp_(0, 255)


def _low_frequencies(image: Tensor, radius: int) -> Tensor:
    """Spectrum (C, 2 radius + 1, radius + 1) at fy = 0..radius, -radius..-1 and fx = 0..radius."""
    columns = torch.fft.fft(torch.fft.rfft(image)[..., : radius + 1], dim=-2)
    return columns.index_select(-2, _rows(radius, image))


def _from_low_frequencies(spectrum: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """The real image (C, H, W) with these low frequencies and no others; inverse of `_low_frequencies`."""
    num_channels, _, num_columns = spectrum.shape
    padded = spectrum.new_zeros(num_channels, size_hw[0], num_columns)
    padded.index_copy_(-2, _rows(num_columns - 1, padded), spectrum)
    return torch.fft.irfft(torch.fft.ifft(padded, dim=-2), n=size_hw[1])


def _rows(radius: int, image: Tensor) -> Tensor:
    """Rows of a (C, H, W) spectrum that hold fy = 0..radius, -radius..-1."""
    return torch.arange(-radius, radius + 1, device=image.device).roll(-radius) % image.shape[-2]


def match_statistics(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Move mean and spread of the source's CIE Lab channels to the target's ([ColorTransfer]).

    Args:
        source: (H, W, 3) uint8 RGB.
        target: uint8 RGB of any size.

    Returns:
        (H, W, 3) uint8 RGB. A channel that is constant in the source is only shifted.
    """
    matched = _match_moments(_to_lab(source), _to_lab(target))
    rgb = cv2.cvtColor(matched.astype(np.float32), cv2.COLOR_LAB2RGB)
    return np.rint(rgb * 255).clip(0, 255).astype(np.uint8)


def match_colors(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Give the source the target's lightness statistics, and at each lightness the target's colour.

    For images without colour, whose other two Lab channels `match_statistics` can only shift as a whole: here dark
    parts become as the target's dark parts are, light ones as its light parts.

    Args:
        source: (H, W, 3) uint8 RGB.
        target: uint8 RGB of any size.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    source_lab, target_lab = _to_lab(source), _to_lab(target)
    lightness = _match_moments(source_lab[..., :1], target_lab[..., :1])[..., 0]
    rgb = cv2.cvtColor(_lab_of_lightness(target_lab)[None], cv2.COLOR_LAB2RGB)[0]
    colors = np.rint(rgb * 255).clip(0, 255).astype(np.uint8)
    return colors[_lightness_level(lightness)]


def _lab_of_lightness(lab: np.ndarray) -> np.ndarray:
    """(levels + 1, 3) float32: each lightness with the mean colour of the pixels (H, W, 3) near it.

    Sums and counts are blurred alike over the levels, so that a level no pixel has takes its neighbours' colour.
    """
    level = _lightness_level(lab[..., 0]).ravel()
    weights = [None, lab[..., 1].ravel(), lab[..., 2].ravel()]
    histograms = [np.bincount(level, weight, minlength=LIGHTNESS_LEVELS + 1).astype(np.float64) for weight in weights]
    smooth = [cv2.GaussianBlur(h[None], (0, 0), 3.0, borderType=cv2.BORDER_REPLICATE)[0] for h in histograms]
    known = smooth[0] > 1e-3
    steps = np.arange(LIGHTNESS_LEVELS + 1)
    chroma = [np.interp(steps, steps[known], values[known] / smooth[0][known]) for values in smooth[1:]]
    return np.stack([steps * (100 / LIGHTNESS_LEVELS), *chroma], axis=1).astype(np.float32)


def _lightness_level(lightness: np.ndarray) -> np.ndarray:
    """Lab lightness 0..100, clipped to it, as int64 0..LIGHTNESS_LEVELS."""
    levels = np.rint(lightness * (LIGHTNESS_LEVELS / 100)).clip(0, LIGHTNESS_LEVELS)
    return np.asarray(levels, np.int64)


def _match_moments(values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """(H, W, C) values with mean and deviation of each channel as in `wanted`; a constant channel is only shifted."""
    spread = values.std(axis=(0, 1))
    gain = np.where(spread > 1e-3, wanted.std(axis=(0, 1)) / np.maximum(spread, 1e-3), 1.0)
    return np.asarray((values - values.mean(axis=(0, 1))) * gain + wanted.mean(axis=(0, 1)))


def _to_lab(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32, L in 0..100, of an RGB uint8 image."""
    return np.asarray(cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB))


Restyle = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


class RandomStyle:
    """Gives an image the low-level look of a randomly drawn, unlabelled target image."""

    def __init__(self, method: str, target_files: Sequence[str], probability: float, beta: float) -> None:
        """
        Args:
            method: "statistics" (Lab mean and deviation), "colors" (these of the lightness, and the colour that the
                target has at each lightness) or "fda" (low-frequency amplitudes).
            target_files: images to take the look of.
            probability: share of the images that are restyled.
            beta: half-width of the window of [FDA] relative to the shorter side.
        """
        if method not in ("statistics", "colors", "fda"):
            raise ValueError(f"INPUT.SOURCE_STYLE = {method!r}; expected 'none', 'statistics', 'colors' or 'fda'")
        self.method = method
        self.target_files = target_files
        self.probability = probability
        self.beta = beta
        self._reported: set[str] = set()

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 -> same."""
        if np.random.random() >= self.probability:
            return image
        target = self._draw_target()
        if self.method == "statistics":
            return match_statistics(image, target)
        if self.method == "colors":
            return match_colors(image, target)
        target = np.asarray(cv2.resize(target, image.shape[1::-1], interpolation=cv2.INTER_AREA))
        source, style = (torch.from_numpy(pixels).permute(2, 0, 1).float() for pixels in (image, target))
        restyled = amplitude_swap(source, style, self.beta)
        return restyled.round().to(torch.uint8).permute(1, 2, 0).numpy()

    def _draw_target(self) -> NDArray[np.uint8]:
        """A target image; one that cannot be read is named once, and another drawn: the source image is not at fault.

        Raises:
            ValueError: hardly any can be read.
        """
        for _ in range(MAX_BAD_DRAWS):
            file = self.target_files[np.random.randint(len(self.target_files))]
            try:
                return read_image(file)
            except (DataError, OSError) as error:
                if file not in self._reported:
                    self._reported.add(file)
                    logger.warning("Skipping a target image whose look was asked for: %s", error)
        # Not a DataError: the source image would be blamed, and others shown unstyled.
        raise ValueError(
            f"{MAX_BAD_DRAWS} images in a row of DATASETS.TARGET could not be read, the last one {file}; the warnings "
            "above say why"
        )
