"""Label maps in plain colours, and pictures as data URIs: fast enough for hundreds of panels of a report.

Shapes: H x W pixels; pictures are (H, W, 3) uint8 RGB. Segment or instance id 0 = none, -1 = ignored; class 255 = void.
"""

from __future__ import annotations

import base64
import colorsys
import io
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8]
Labels = NDArray[np.integer]

PANEL_WIDTH = 512
"""Pixels to which pictures are enlarged or reduced by a whole factor."""

VOID_COLOR = (0, 0, 0)
OUTLINE_COLOR = (255, 255, 255)
UNSURE_COLORS = ((50, 50, 50), (125, 125, 125))
UNSTABLE_COLOR = (230, 230, 230)
STRIPE = 6  # pixels
OPACITY = 0.65
GAP = 4  # pixels


def paint_segments(
    ids: Labels, segments: Sequence[Mapping[str, Any]], colors: Sequence[Sequence[int]], width: int = PANEL_WIDTH
) -> Picture:
    """A panoptic map in the colours of its classes, with white outlines around things.

    Args:
        ids: (H, W), 0 = void.
        segments: per segment id, category_id, isthing.
        colors: RGB per class.
        width: of the picture.
    """
    table = np.array([VOID_COLOR, *(colors[segment["category_id"]] for segment in segments)], dtype=np.uint8)
    is_thing = np.array([False, *(bool(segment["isthing"]) for segment in segments)])
    index = enlarge(number_segments(ids, segments), width)
    picture = table[index]
    picture[outlines(index, is_thing[index])] = OUTLINE_COLOR
    return picture


def number_segments(ids: Labels, segments: Sequence[Mapping[str, Any]]) -> NDArray[np.int64]:
    """(H, W) 1, 2, ... for the segments in their order, 0 for all other ids."""
    known = np.array([0, *(segment["id"] for segment in segments)])
    order = known.argsort()
    index = order[np.searchsorted(known[order], ids).clip(max=len(known) - 1)]
    return np.where(known[index] == ids, index, 0)


def paint_pseudo_classes(image: Picture, labels: Labels, colors: Sequence[Sequence[int]]) -> Picture:
    """Pseudo labels laid over their image, unsure pixels striped in grey.

    Args:
        image: (H, W, 3).
        labels: (H, W) classes, 255 = unsure.
        colors: RGB per class.
    """
    table = np.zeros((256, 3), dtype=np.uint8)
    table[: len(colors)] = np.array(colors, dtype=np.uint8)
    y, x = np.indices(labels.shape)
    stripes = np.array(UNSURE_COLORS, dtype=np.uint8)[(x + y) // STRIPE % 2]
    is_unsure = (labels == 255)[..., None]
    return blend(image, np.where(is_unsure, stripes, table[labels]))


def paint_pseudo_instances(image: Picture, instance_ids: Labels) -> Picture:
    """Stable pseudo instances in colours of their own, unstable ones grey, the rest as a dim grey image.

    Args:
        image: (H, W, 3).
        instance_ids: (H, W), 0 = no thing, -1 = unstable.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None].repeat(3, axis=2)
    dim: Picture = (grey * 0.6).astype(np.uint8)
    colors = np.concatenate([distinct_colors(int(instance_ids.max(initial=0)) + 1), [UNSTABLE_COLOR]])
    picture = np.where((instance_ids != 0)[..., None], blend(dim, colors[instance_ids].astype(np.uint8)), dim)
    picture[outlines(instance_ids, instance_ids > 0)] = OUTLINE_COLOR
    return picture


def outlines(ids: Labels, inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(H, W) pixels of `inside` with another id to their right or below, and their mirror on the other side."""
    found = np.zeros(ids.shape, dtype=bool)
    for axis in (0, 1):
        here = tuple(slice(None, -1) if a == axis else slice(None) for a in (0, 1))
        there = tuple(slice(1, None) if a == axis else slice(None) for a in (0, 1))
        differs = ids[here] != ids[there]
        found[here] |= differs & inside[here]
        found[there] |= differs & inside[there] & ~inside[here]
    return found


def distinct_colors(count: int) -> NDArray[np.uint8]:
    """(count, 3) RGB colours, far apart for neighbouring numbers; always the same for the same number."""
    golden = 0.618033988749895
    hues = [(number * golden) % 1 for number in range(count)]
    colors = [colorsys.hsv_to_rgb(hue, 0.65 + 0.3 * (i % 2), 1 - 0.25 * (i // 2 % 2)) for i, hue in enumerate(hues)]
    return (255 * np.array(colors).reshape(count, 3)).round().astype(np.uint8)


def blend(image: Picture, colors: Picture, opacity: float = OPACITY) -> Picture:
    """Colours laid over an image of the same shape."""
    return (image * (1 - opacity) + colors * opacity).round().astype(np.uint8)


def enlarge(values: NDArray[Any], width: int = PANEL_WIDTH) -> NDArray[Any]:
    """(H, W) or (H, W, 3) resized by a whole factor up or down to about a width: labels by repeating or leaving out."""
    factor = max(1, round(width / values.shape[1]))
    step = max(1, round(values.shape[1] / width))
    return values[::step, ::step].repeat(factor, axis=0).repeat(factor, axis=1)


def shrink_photo(image: Picture, width: int = PANEL_WIDTH) -> Picture:
    """A photograph of at most the width; a smaller one as it is, a browser enlarges it as well."""
    if image.shape[1] <= width:
        return image
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)


def shrink_labels_to(labels: Labels, size: tuple[int, int]) -> Labels:
    """(H, W) labels at another (height, width), by their nearest pixel."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.int64).clip(max=old - 1) for new, old in zip(size, labels.shape)
    )
    return labels[rows[:, None], columns]


def join_pair(left: Picture, right: Picture) -> Picture:
    """Two pictures of one size beside each other."""
    return np.concatenate([left, np.full((left.shape[0], GAP, 3), 255, dtype=np.uint8), right], axis=1)


def split_pair(pair: Picture) -> tuple[Picture, Picture]:
    """The inverse of `join_pair`."""
    width = (pair.shape[1] - GAP) // 2
    return pair[:, :width], pair[:, width + GAP :]


def data_uri(picture: Picture, is_photo: bool = False) -> str:
    """A picture as the address of an <img>: JPEG for photographs, else PNG, with a palette where that loses nothing."""
    image = Image.fromarray(picture)
    buffer = io.BytesIO()
    if is_photo:
        image.save(buffer, format="JPEG", quality=85)
    else:
        _with_palette(image).save(buffer, format="PNG", optimize=True)
    return encode_uri(buffer.getvalue(), "image/jpeg" if is_photo else "image/png")


def encode_uri(content: bytes, media_type: str) -> str:
    """The content of a file as a data URI."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


def _with_palette(image: Image.Image) -> Image.Image:
    if image.getcolors(256) is None:
        return image
    return image.convert("P", palette=Image.Palette.ADAPTIVE, colors=256)
