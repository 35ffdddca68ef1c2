"""Image files of the drawn worlds."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Write an image, (H, W) or (H, W, 3) RGB, uint8 or uint16, with its folder.

    Raises:
        OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = pixels[..., ::-1] if pixels.ndim == 3 else pixels
    if not cv2.imwrite(str(path), channels):
        raise OSError(f"cannot write {path}; is the disk full or the folder read-only?")
