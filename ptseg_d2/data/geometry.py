"""Random geometry of labelled training images as one affine map, so that image and labels are sampled once."""

from __future__ import annotations

from dataclasses import dataclass

from ptseg_d2.data.augmentation import random_crop_affine

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Geometry:
    """Random geometry of source images; a common factor, a crop and a horizontal flip unless more is asked for.

    Attributes:
        crop: (height, width) of the result.
        scale: range of the random size factor.
        flip: probability of the horizontal flip.
        vertical_flip: likewise of the vertical one.
        rotation: the image is turned around its middle by an angle from U(0, this), in degrees.
        fit: the image is first stretched to the crop's size.
        stretch: height and width get a factor each ([PanopticUNet]: r_y, r_x).
    """

    crop: tuple[int, int]
    scale: tuple[float, float]
    flip: float = 0.5
    vertical_flip: float = 0.0
    rotation: float = 0.0
    fit: bool = False
    stretch: bool = False

    def draw(self, size: tuple[int, int]) -> NDArray[np.float64]:
        """Affine map (2, 3) from an image of (height, width) to the crop, as of `random_crop_affine`.

        In the order of [PanopticUNet]: fit, rotation, flips, rescaling, crop. What is off draws no random number.
        """
        fit = np.eye(3)
        if self.fit:
            fit = scaling(self.crop[0] / size[0], self.crop[1] / size[1])
            size = self.crop
        turn = np.eye(3)
        if self.rotation > 0:
            turn = rotation(np.random.uniform(0, self.rotation), size)
        upside_down = np.eye(3)
        if self.vertical_flip > 0 and np.random.random() < self.vertical_flip:
            upside_down = np.array([[1.0, 0.0, 0.0], [0.0, -1.0, size[0] - 1.0], [0.0, 0.0, 1.0]])
        ratio = np.eye(3)
        if self.stretch:
            factor_y, factor_x = np.random.uniform(*self.scale, size=2)
            ratio = scaling(factor_y, factor_x)
            size = (round(size[0] * factor_y), round(size[1] * factor_x))
        scale = (1.0, 1.0) if self.stretch else self.scale
        return random_crop_affine(size, self.crop, scale, self.flip) @ ratio @ upside_down @ turn @ fit


def scaling(factor_y: float, factor_x: float) -> NDArray[np.float64]:
    """(3, 3) map of pixel coordinates that resizes an image; the corner of its first pixel stays where it is."""
    return np.array([[factor_x, 0, 0.5 * factor_x - 0.5], [0, factor_y, 0.5 * factor_y - 0.5], [0, 0, 1]])


def rotation(degrees: float, size: tuple[int, int]) -> NDArray[np.float64]:
    """(3, 3) map of pixel coordinates that turns an image of (height, width) counter-clockwise around its middle."""
    middle = ((size[1] - 1) / 2, (size[0] - 1) / 2)
    return np.vstack([cv2.getRotationMatrix2D(middle, degrees, 1.0), [0, 0, 1]])
