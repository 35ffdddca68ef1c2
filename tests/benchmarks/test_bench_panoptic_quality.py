"""The benchmark of panoptic quality on a small scene: both sides give the same PQ, and the scene has everything."""

from __future__ import annotations

import bench_panoptic_quality
import numpy as np
import pytest
from bench_panoptic_quality import TOLERANCE, ours, side_by_side, street_scene
from clock import Clock, tables


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


@pytest.mark.parametrize(("ratio", "more", "status"), [(26.0, 0.0, 0), (24.0, 0.0, 1), (26.0, 1e-6, 1)])
def test_table(
    ratio: float, more: float, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ours is timed before theirs, with files before maps; the first call of each does not count."""
    seconds = [9.0, 0.01, 9.0, 0.09, 9.0, 0.001, 9.0, 0.001 * ratio]
    monkeypatch.setattr(bench_panoptic_quality, "time", Clock(seconds))
    monkeypatch.setattr(bench_panoptic_quality, "ours", lambda *sides: ours(*sides) + more)
    assert bench_panoptic_quality.main("--size 64 128 --segments 12 --runs 1".split()) == status
    printed = capsys.readouterr().out
    assert "64x128, 12 segments" in printed
    (rows,) = tables(printed)
    assert rows["with decoding of the PNGs"][:4] == ["10.0", "90.0", "9.0", "8"]
    assert rows["decoded maps"][:4] == ["1.0", f"{ratio:.1f}", f"{ratio:.1f}", "25"]
    assert all(float(rows[name][4]) == pytest.approx(more, abs=1e-9) for name in list(rows)[-2:])
