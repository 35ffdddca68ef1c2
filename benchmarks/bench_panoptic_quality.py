#!/usr/bin/env python3
"""Panoptic quality of one image side by side: ours, and panopticapi's `pq_compute_single_core`.

    python benchmarks/bench_panoptic_quality.py
    python benchmarks/bench_panoptic_quality.py --size 512 1024 --segments 30 --runs 3

The maps look like a street scene: compact segments of unequal size with ragged borders, void at the lower edge as on
the bonnet of the car, a prediction whose borders are a few pixels off and of which some segments are cut in two. Once
from the PNG files, once on maps that are decoded already; theirs is their own function in both, on the second with the
reading replaced. The exit status is 1 when a bound does not hold.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from ptseg_d2.evaluation.panoptic_files import read_panoptic_png
from ptseg_d2.evaluation.panoptic_quality import PanopticQuality
from ptseg_d2.panoptic_ids import ids_to_rgb

import cv2
import numpy as np
from numpy.typing import NDArray
from panopticapi import evaluation as panopticapi
from PIL import Image
from tabulate import tabulate

NUM_CLASSES, THING_IDS = 19, range(11, 19)
MIN_RATIO_FILES, MIN_RATIO_MAPS = 8.0, 25.0
TOLERANCE = 1e-9  # percent

Ids = NDArray[np.int32]


class Side(NamedTuple):
    """Ground truth or prediction of the image: a map (H, W) and its segments."""

    ids: Ids
    segments: list[dict[str, Any]]


def ragged_cells(size: tuple[int, int], num_cells: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(H, W) Voronoi cells 0..num_cells - 1 whose borders are blurred noise."""
    height, width = size
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    for coordinates in (rows, columns):
        noise = rng.normal(size=size).astype(np.float32)
        coordinates += height / 64 * cv2.GaussianBlur(noise, (0, 0), 4) / 0.07  # standard deviation of the blur: .07
    nearest, cells = np.full(size, np.inf, np.float32), np.zeros(size, np.int64)
    for cell, (y, x) in enumerate(rng.random((num_cells, 2)) ** 1.5 * size):
        distance = (rows - y) ** 2 + (columns - x) ** 2
        is_nearer = distance < nearest
        nearest[is_nearer], cells[is_nearer] = distance[is_nearer], cell
    return cells


def street_scene(size: tuple[int, int], num_segments: int, seed: int = 0) -> tuple[Side, Side]:
    """Ground truth and prediction with about `num_segments` segments each."""
    rng = np.random.default_rng(seed)
    cells = ragged_cells(size, num_segments, rng)
    classes = rng.integers(0, NUM_CLASSES, num_segments)
    ids = rng.choice(256**3 - 1, size=2 * num_segments, replace=False) + 1
    shifted = np.roll(cells, (size[0] // 300, -size[1] // 500), axis=(0, 1))
    is_cut = (shifted % 7 == 0) & (np.arange(size[1]) % 64 < 24)
    pred_cells = np.where(is_cut, shifted + num_segments, shifted)
    pred_classes = np.concatenate([classes, rng.integers(0, NUM_CLASSES, num_segments)])
    gt_ids = ids[cells].astype(np.int32)
    gt_ids[-size[0] // 24 :] = 0
    return _side(gt_ids, ids, classes), _side(ids[pred_cells].astype(np.int32), ids, pred_classes)


def _side(ids: Ids, ids_of_cells: NDArray[np.int64], classes: NDArray[np.int64]) -> Side:
    class_of = dict(zip(ids_of_cells.tolist(), classes.tolist()))
    values, areas = np.unique(ids[ids > 0], return_counts=True)
    return Side(
        ids,
        [
            {"id": i, "category_id": class_of[i], "area": area, "iscrowd": 0}
            for i, area in zip(values.tolist(), areas.tolist())
        ],
    )


def ours(truth: Side, prediction: Side) -> float:
    """PQ in percent."""
    quality = PanopticQuality([str(i) for i in range(NUM_CLASSES)], THING_IDS)
    quality.update(*prediction, *truth)
    return float(quality.compute()["PQ"])


def theirs(folder: Path, truth: Side, prediction: Side) -> float:
    """PQ in percent of the files truth.png and prediction.png of a folder."""
    categories = {i: {"id": i, "isthing": int(i in THING_IDS)} for i in range(NUM_CLASSES)}
    annotations = [
        {"image_id": 0, "file_name": f"{name}.png", "segments_info": [dict(segment) for segment in side.segments]}
        for name, side in (("truth", truth), ("prediction", prediction))
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        counts = panopticapi.pq_compute_single_core(0, [tuple(annotations)], str(folder), str(folder), categories)
    return float(100 * counts.pq_average(categories, isthing=None)[0]["pq"])


@contextlib.contextmanager
def decoded(truth: Side, prediction: Side) -> Iterator[None]:
    """Within, panopticapi gets the maps in place of files."""
    maps = {"truth.png": truth.ids, "prediction.png": prediction.ids}
    reader = mock.Mock(open=lambda path: maps[Path(path).name])
    with mock.patch.object(panopticapi, "Image", reader), mock.patch.object(panopticapi, "rgb2id", lambda ids: ids):
        yield


def median_ms(work: Callable[[], float], runs: int) -> tuple[float, float]:
    """Median wall-clock milliseconds of `runs` calls after one that does not count, and the value."""
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        value = work()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times[1:]), value


def side_by_side(size: tuple[int, int], num_segments: int, runs: int) -> list[tuple[str, float, float, float]]:
    """What was timed, our and their milliseconds, and the larger difference of the two PQs in percent."""
    truth, prediction = street_scene(size, num_segments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, side in (("truth.png", truth), ("prediction.png", prediction)):
            Image.fromarray(ids_to_rgb(side.ids)).save(folder / file)

        def ours_from_files() -> float:
            maps = (read_panoptic_png(folder / file) for file in ("truth.png", "prediction.png"))
            return ours(*(side._replace(ids=ids) for side, ids in zip((truth, prediction), maps)))

        def both(name: str, work: Callable[[], float]) -> tuple[str, float, float, float]:
            our_ms, our_pq = median_ms(work, runs)
            their_ms, their_pq = median_ms(lambda: theirs(folder, truth, prediction), runs)
            return name, our_ms, their_ms, abs(our_pq - their_pq)

        from_files = both("with decoding of the PNGs", ours_from_files)
        with decoded(truth, prediction):
            return [from_files, both("decoded maps", lambda: ours(truth, prediction))]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; the exit status is 1 if a bound does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs=2, default=(1024, 2048), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--segments", type=int, default=60, help="of the ground truth")
    parser.add_argument("--runs", type=int, default=7, help="timed calls of each; the median counts")
    args = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    print(f"{args.size[0]}x{args.size[1]}, {args.segments} segments, one CPU thread, median of {args.runs}\n")
    timings = side_by_side(tuple(args.size), args.segments, args.runs)
    bounds = (MIN_RATIO_FILES, MIN_RATIO_MAPS)
    rows = [
        [name, f"{our_ms:.1f}", f"{their_ms:.1f}", f"{their_ms / our_ms:.1f}", f"{bound:.0f}", f"{difference:.0e}"]
        for (name, our_ms, their_ms, difference), bound in zip(timings, bounds)
    ]
    headers = ["one image", "ours, ms", "panopticapi, ms", "panopticapi / ours", "at least", "difference of PQ, %"]
    print(tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True))
    same = all(difference < TOLERANCE for *_, difference in timings)
    fast = all(their_ms >= bound * our_ms for (_, our_ms, their_ms, _), bound in zip(timings, bounds))
    return int(not (same and fast))


if __name__ == "__main__":
    sys.exit(main())
