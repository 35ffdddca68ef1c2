"""When source images get the look of target images, and of which; how is in `ptseg_d2.data.style`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from ptseg_d2.data.samplers import MAX_BAD_DRAWS
from ptseg_d2.data.style import amplitude_swap, match_colors, match_statistics
from ptseg_d2.data.targets import DataError, read_image

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

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
            beta: half-width of FDA's window relative to the shorter side.
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
