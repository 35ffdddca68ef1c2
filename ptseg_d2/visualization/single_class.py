"""Objects of one class on a background over their image: no names, a colour of its own for each, and fast.

Detectron2's Visualizer writes the class beside every object and draws each outline as a polygon: with one class that is
the same word over and over, on top of small objects. Shapes: H x W pixels; images are (H, W, 3) uint8 RGB.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ptseg_d2.visualization.panels import OUTLINE_COLOR, Picture, blend, distinct_colors, number_segments, outlines

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

OBJECT_OPACITY = 0.5
FONT, FONT_SCALE, FONT_THICKNESS = cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1
TEXT_COLOR, TEXT_EDGE_COLOR = (255, 255, 255), (0, 0, 0)


def draw_single_class(
    image: Picture, ids: NDArray[np.integer], segments: Sequence[Mapping[str, Any]], scale: int = 1
) -> Picture:
    """Things in bright colours with white outlines; in those that are large enough, their score in percent.

    Args:
        image: (H, W, 3).
        ids: (H, W), 0 = none.
        segments: per segment id, isthing and optionally score in [0, 1]; the background is not painted.
        scale: enlargement.

    Returns:
        (scale * H, scale * W, 3), the same for the same input.
    """
    things = [segment for segment in segments if segment["isthing"]]
    numbers = number_segments(ids, things)
    height, width = ids.shape
    large = cv2.resize(image, (width * scale, height * scale), interpolation=cv2.INTER_CUBIC).astype(np.uint8)
    large_numbers = numbers.repeat(scale, axis=0).repeat(scale, axis=1)
    painted = blend(large, distinct_colors(len(things) + 1)[large_numbers], OBJECT_OPACITY)
    picture: Picture = np.where((large_numbers > 0)[..., None], painted, large)
    picture[outlines(large_numbers, large_numbers > 0)] = OUTLINE_COLOR
    for segment, box in zip(things, find_objects(large_numbers) if things else []):
        if box is not None and "score" in segment:
            _write_inside(picture[box], f"{100 * segment['score']:.0f}")
    return picture


def _write_inside(picture: Picture, text: str) -> None:
    """Write a text in the middle of a (H, W, 3) part of a picture, if it has room there."""
    height, width = picture.shape[:2]
    (text_width, text_height), _ = cv2.getTextSize(text, FONT, FONT_SCALE, FONT_THICKNESS)
    if 1.5 * text_width > width or 1.5 * text_height > height:
        return
    place = ((width - text_width) // 2, (height + text_height) // 2)
    written = np.ascontiguousarray(picture)  # OpenCV writes on whole arrays only
    for color, thickness in ((TEXT_EDGE_COLOR, FONT_THICKNESS + 2), (TEXT_COLOR, FONT_THICKNESS)):
        cv2.putText(written, text, place, FONT, FONT_SCALE, color, thickness, cv2.LINE_AA)
    picture[...] = written
