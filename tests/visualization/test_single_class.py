"""Objects of one class: each its own colour, outlines, scores where there is room, nothing else touched."""

from __future__ import annotations

from typing import Any

from ptseg_d2.classes.tables import single_thing
from ptseg_d2.data.datasets import panoptic_metadata
from ptseg_d2.visualization.overlays import draw_panoptic
from ptseg_d2.visualization.single_class import draw_single_class

import numpy as np
import torch
from detectron2.data import Metadata

GREY = np.full((8, 12, 3), 100, np.uint8)


def scene() -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Two objects that touch, over a segment of background, beside void."""
    ids = np.full((8, 12), 7)
    ids[:, 11] = 0
    ids[2:6, 1:4], ids[2:6, 4:8] = 1001, 1002
    segments = [{"id": 7, "isthing": False}, {"id": 1001, "isthing": True}, {"id": 1002, "isthing": True}]
    return ids, segments


def test_neighbours_differ_and_the_rest_is_untouched() -> None:
    ids, segments = scene()
    picture = draw_single_class(GREY, ids, segments)
    assert (picture[ids == 7][:12] == 100).all() and (picture[:, 11] == 100).all()
    assert (picture[2:6, 3] == 255).all()  # the outline between them
    first, second = picture[3, 2], picture[3, 6]
    assert np.abs(first.astype(int) - second).max() > 60
    assert first.max() > 140 and second.max() > 140  # bright, half of it the image


def test_a_score_is_written_where_it_has_room() -> None:
    ids, segments = scene()
    scored = [{**segment, "score": 0.97} for segment in segments]
    assert (draw_single_class(GREY, ids, scored) == draw_single_class(GREY, ids, segments)).all()
    plain, written = (draw_single_class(GREY, ids, s, scale=16) for s in (segments, scored))
    assert plain.shape == (128, 192, 3)
    changed = np.abs(plain.astype(int) - written).max(axis=2) > 0
    inside = np.isin(ids, (1001, 1002)).repeat(16, axis=0).repeat(16, axis=1)
    assert changed[inside].sum() > 100 and not changed[~inside].any()


def test_without_objects() -> None:
    assert (draw_single_class(GREY, np.zeros((8, 12), int), []) == GREY).all()


def test_worlds_of_one_class_are_drawn_so() -> None:
    ids, segments = scene()
    metadata = Metadata(name="cells").set(**panoptic_metadata(single_thing("cell")))
    segments = [{**segment, "category_id": int(bool(segment["isthing"]))} for segment in segments]
    picture = draw_panoptic(GREY, torch.from_numpy(ids), segments, metadata, scale=2)
    assert (picture == draw_single_class(GREY, ids, segments, scale=2)).all()
