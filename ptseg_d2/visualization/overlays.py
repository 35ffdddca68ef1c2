"""Panoptic overlays, titled panels and small PNG files.

Shapes: H x W pixels; images are (H, W, 3) uint8 in RGB order.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ptseg_d2.visualization.single_class import draw_single_class

import cv2
import numpy as np
from detectron2.data import Metadata
from detectron2.utils.visualizer import Visualizer
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

Picture = NDArray[np.uint8]

READABLE_WIDTH = 1024  # pixels; labels drawn on a smaller picture cover it
TITLE_HEIGHT = 28
TITLE_SCALE = 0.6  # of OpenCV's font
GAP = 4  # pixels between panels
PALETTE_SIZES = (256, 128, 64)


def draw_panoptic(
    image: Picture,
    panoptic_seg: Tensor,
    segments_info: Sequence[Mapping[str, Any]],
    metadata: Metadata,
    scale: int | None = None,
) -> Picture:
    """Lay a panoptic result over its image with Detectron2's Visualizer, or by `draw_single_class`.

    Args:
        image: (H, W, 3) uint8 RGB.
        panoptic_seg: (H, W) integer segment ids, 0 = void (not painted).
        segments_info: per segment id, category_id, isthing and optionally score.
        metadata: of the data set, with class names and colours.
        scale: enlargement; by default the smallest that makes the picture at least 1024 pixels wide.

    Returns:
        (scale * H, scale * W, 3) uint8 RGB, the same for the same input.
    """
    height, width = panoptic_seg.shape
    if image.shape != (height, width, 3):
        raise ValueError(f"expected an image of shape {(height, width, 3)}, got {image.shape}")
    scale = scale or max(1, -(-READABLE_WIDTH // width))
    classes = metadata.get("class_table", None)
    if classes is not None and len(classes.thing_ids) == 1 and classes.num_classes == 2:
        return draw_single_class(image, panoptic_seg.cpu().numpy(), segments_info, scale)
    size = (width * scale, height * scale)
    large_image = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)
    large_ids = panoptic_seg.cpu().repeat_interleave(scale, dim=0).repeat_interleave(scale, dim=1)
    # The Visualizer writes into the segments and draws instance colours from NumPy's global generator.
    random_state = np.random.get_state()
    np.random.seed(0)
    try:
        visualizer = Visualizer(large_image, metadata)
        drawn = visualizer.draw_panoptic_seg(large_ids, [dict(segment) for segment in segments_info], alpha=0.5)
    finally:
        np.random.set_state(random_state)
    picture: Picture = drawn.get_image()
    return picture


def draw_objects(
    image: Picture,
    masks: NDArray[np.bool_],
    boxes: NDArray[np.floating],
    labels: Sequence[str],
    colors: Sequence[tuple[int, int, int]],
    scale: int | None = None,
) -> Picture:
    """Lay objects, whose masks may overlap, over their image with Detectron2's Visualizer.

    Args:
        image: (H, W, 3) uint8 RGB.
        masks: (N, H, W).
        boxes: (N, 4) x1, y1, x2, y2 in pixels.
        labels: N texts.
        colors: N RGB colours, 0..255.
        scale: enlargement; by default the smallest that makes the picture at least 1024 pixels wide.

    Returns:
        (scale * H, scale * W, 3) uint8 RGB.
    """
    height, width = image.shape[:2]
    scale = scale or max(1, -(-READABLE_WIDTH // width))
    visualizer = Visualizer(cv2.resize(image, (width * scale, height * scale), interpolation=cv2.INTER_CUBIC))
    if len(labels):
        drawn = visualizer.overlay_instances(
            masks=masks.repeat(scale, axis=1).repeat(scale, axis=2),
            boxes=boxes * scale,
            labels=list(labels),
            assigned_colors=[tuple(channel / 255 for channel in color) for color in colors],
        )
    else:
        drawn = visualizer.output
    picture: Picture = drawn.get_image()
    return picture


def side_by_side(images: Sequence[Picture], titles: Sequence[str], columns: int | None = None) -> Picture:
    """Panels in rows, each under its title.

    Args:
        images: (H, W, 3) uint8 RGB of any sizes; each is resized to the width of the widest.
        titles: one per image.
        columns: panels per row, by default all.

    Returns:
        one uint8 RGB picture.

    Raises:
        ValueError: no image, or not one title per image.
    """
    if not images or len(images) != len(titles):
        raise ValueError(f"expected one title per image, got {len(images)} images and {len(titles)} titles")
    columns = columns or len(images)
    width = max(image.shape[1] for image in images)
    panels = [_titled(image, title, width) for image, title in zip(images, titles)]
    height = max(panel.shape[0] for panel in panels)
    num_rows = -(-len(panels) // columns)
    sheet = np.full((num_rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), 255, dtype=np.uint8)
    for index, panel in enumerate(panels):
        y, x = index // columns * (height + GAP), index % columns * (width + GAP)
        sheet[y : y + panel.shape[0], x : x + width] = panel
    return sheet


def save_png(path: str | os.PathLike[str], picture: Picture, max_bytes: int = 300_000) -> None:
    """Save a picture as a PNG file that is small enough for a repository or a mail.

    Full colour if that fits, else the largest palette that does, else half the size, and so on.

    Args:
        path: file to write; its folder is made if missing.
        picture: (H, W, 3) uint8 RGB.
        max_bytes: upper limit of the file.
    """
    image = Image.fromarray(picture)
    while True:
        for colors in (None, *PALETTE_SIZES):
            candidate = image if colors is None else image.quantize(colors, dither=Image.Dither.NONE)
            buffer = io.BytesIO()
            candidate.save(buffer, format="PNG")
            if buffer.tell() <= max_bytes or max(image.size) <= 1:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                Path(path).write_bytes(buffer.getvalue())
                return
        image = image.resize((max(1, image.width // 2), max(1, image.height // 2)), Image.Resampling.LANCZOS)


def _titled(image: Picture, title: str, width: int) -> Picture:
    height = round(image.shape[0] * width / image.shape[1])
    interpolation = cv2.INTER_CUBIC if width > image.shape[1] else cv2.INTER_AREA
    panel = np.full((TITLE_HEIGHT + height, width, 3), 255, dtype=np.uint8)
    panel[TITLE_HEIGHT:] = cv2.resize(image, (width, height), interpolation=interpolation)
    font = cv2.FONT_HERSHEY_SIMPLEX
    (text_width, _), _ = cv2.getTextSize(title, font, TITLE_SCALE, 1)
    text_scale = TITLE_SCALE * min(1.0, (width - 8) / max(text_width, 1))
    cv2.putText(panel, title, (4, TITLE_HEIGHT - 9), font, text_scale, (0, 0, 0), 1, cv2.LINE_AA)
    return panel
