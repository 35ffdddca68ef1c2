"""The benchmark of panoptic quality on a small scene: both sides give the same PQ, and the scene has everything."""

from __future__ import annotations

import bench_panoptic_quality
import numpy as np
import pytest
from bench_panoptic_quality import TOLERANCE, ours, side_by_side, street_scene


def test_the_scene_has_everything() -> None:
    truth, prediction = street_scene((128, 256), 20)
    assert truth.ids.dtype == prediction.ids.dtype == np.int32
    assert (truth.ids == 0).any() and (truth.ids[:100] > 0).all()
    assert 15 <= len(truth.segments) <= 20 < len(prediction.segments)
    assert truth.ids.max() > 2**16  # ids use all three channels
    changes = (truth.ids[:, 1:] != truth.ids[:, :-1]).mean()
    assert 0.005 < changes < 0.15
    assert 20 < ours(truth, prediction) < 90


def test_both_sides_give_the_same_pq() -> None:
    timings = side_by_side((64, 128), num_segments=12, runs=1)
    assert [name for name, *_ in timings] == ["with decoding of the PNGs", "decoded maps"]
    assert all(our_ms > 0 and their_ms > 0 and difference < TOLERANCE for _, our_ms, their_ms, difference in timings)


def test_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench_panoptic_quality.main("--size 64 128 --segments 12 --runs 1".split()) in (0, 1)
    printed = capsys.readouterr().out
    assert "64x128, 12 segments" in printed and "panopticapi / ours" in printed
