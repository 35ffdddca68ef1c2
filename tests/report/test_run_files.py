"""Reading a run folder, complete or not."""

from __future__ import annotations

import json
from pathlib import Path

from ptseg_d2.report.run_files import (
    ImageScore,
    first_middle_last,
    image_scores,
    pseudo_label_pictures,
    read_curves,
    read_details,
    read_json,
)

import pytest


def test_curves_of_a_resumed_and_killed_run(tmp_path: Path) -> None:
    """Iteration 39 was written twice, 19 comes with another loss, the last line was cut off."""
    lines = [{"iteration": 19, "a": 3.0}, {"iteration": 39, "a": 2.0}, {"iteration": 59, "a": 1.0, "b": 7.0}]
    lines += [{"iteration": 39, "a": 2.5}, {"a": 9.0}]
    metrics = tmp_path / "metrics.json"
    metrics.write_text("\n".join(map(json.dumps, lines)) + '\n{"iteration": 79, "a')
    assert read_curves(metrics) == {"a": ([19, 39, 59], [3.0, 2.5, 1.0]), "b": ([59], [7.0])}
    assert read_curves(tmp_path / "none.json") == {}


@pytest.mark.parametrize("text", ["", "{", "[1]", None])
def test_broken_json_is_empty(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "x.json").write_text(text)
    assert read_json(tmp_path / "x.json") == {}


def test_images_are_sorted_by_pq_and_id(tmp_path: Path) -> None:
    images = [{"image_id": i, "PQ": pq} for i, pq in (("c", 5.0), ("b", 7.0), ("a", 5.0), ("void", None))]
    (tmp_path / "details").mkdir()
    (tmp_path / "details" / "selftrain.json").write_text(json.dumps({"panoptic": {"images": images}}))
    scores = image_scores(read_details(tmp_path, "selftrain"))
    assert scores == [ImageScore("a", 5.0), ImageScore("c", 5.0), ImageScore("b", 7.0)]
    assert image_scores(read_details(tmp_path, "source")) == []


def test_pictures_by_image(tmp_path: Path) -> None:
    folder = tmp_path / "pseudo_labels"
    folder.mkdir()
    for name in ("0000300_b_1.png", "0000000_b_1.png", "0000000_a.png", "other.png", "0000000_a.jpg"):
        (folder / name).touch()
    found = pseudo_label_pictures(tmp_path)
    assert found == {
        "a": [(0, folder / "0000000_a.png")],
        "b_1": [(0, folder / "0000000_b_1.png"), (300, folder / "0000300_b_1.png")],
    }
    assert pseudo_label_pictures(tmp_path / "none") == {}


@pytest.mark.parametrize("count, kept", [(0, []), (1, [0]), (2, [0, 1]), (3, [0, 1, 2]), (7, [0, 3, 6])])
def test_first_middle_last(count: int, kept: list[int]) -> None:
    shots = [(number, Path(str(number))) for number in range(count)]
    assert [number for number, _ in first_middle_last(shots)] == kept
