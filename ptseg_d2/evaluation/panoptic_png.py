"""Segment ids out of the PNGs of the COCO panoptic format, without a pass over the pixels in wider numbers.

Shapes: H x W pixels. Id = R + 256 G + 65536 B.
"""

from __future__ import annotations

from pathlib import Path

from ptseg_d2.data.image_files import PNG_END_CHUNK, PNG_SIGNATURE, DataError, PathLike

import cv2
import numpy as np
from numpy.typing import NDArray

ID_BITS = 0xFFFFFF
TO_RGBA = {3: cv2.COLOR_BGR2RGBA, 4: cv2.COLOR_BGRA2RGBA}


def read_panoptic_png(path: PathLike) -> NDArray[np.int32]:
    """(H, W) segment ids in [0, 2**24) of a PNG with three channels; a fourth one, transparency, is dropped.

    Raises:
        FileNotFoundError: no such file.
        DataError: the file is no PNG, damaged or truncated, or has other channels.
    """
    data = Path(path).read_bytes()
    if not data.startswith(PNG_SIGNATURE):
        raise DataError(f"{path}: not a PNG file")
    # Some decoders accept a PNG that was cut off within its rows; its end chunk shows that it is complete.
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if PNG_END_CHUNK in data[-64:] else None
    if picture is None:
        raise DataError(f"{path}: damaged or truncated PNG")
    if picture.ndim != 3 or picture.dtype != np.uint8:
        raise DataError(
            f"{path}: expected 8-bit RGB with id = R + 256 G + 65536 B, got {picture.dtype} of shape {picture.shape}"
        )
    rgba = cv2.cvtColor(picture, TO_RGBA[picture.shape[2]])
    return np.ascontiguousarray((rgba.view("<u4")[..., 0] & ID_BITS).view("<i4"), dtype=np.int32)
