"""What a run folder holds besides weights, read with patience: what is missing or cut off is empty, not an error."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ptseg_d2.results.evaluation import DETAILS
from ptseg_d2.training.pseudo_label_pictures import FOLDER

_PICTURE = re.compile(r"(\d{7})_(.*)\.png")
Curves = dict[str, tuple[list[float], list[float]]]
"""Name of a scalar -> iterations and values."""


class ImageScore(NamedTuple):
    """PQ of one test image in percent."""

    image_id: str
    pq: float


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; {} if the file is missing or holds something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def read_curves(metrics: Path) -> Curves:
    """Scalars of a `metrics.json` of Detectron2: one JSON object per line.

    Where a resumed run wrote an iteration again, the later line counts. Lines that a kill cut off are left out.

    Args:
        metrics: the file.
    """
    by_iteration: dict[int, dict[str, Any]] = {}
    text = metrics.read_text(encoding="utf-8") if metrics.exists() else ""
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and "iteration" in entry:
            by_iteration[entry["iteration"]] = entry
    curves: Curves = {}
    for iteration, entry in sorted(by_iteration.items()):
        for name, value in entry.items():
            if name != "iteration" and isinstance(value, (int, float)):
                iterations, values = curves.setdefault(name, ([], []))
                iterations.append(iteration)
                values.append(value)
    return curves


def read_details(output: Path, row: str) -> dict[str, Any]:
    """Details of a row of results.json; {} if they were not written."""
    return read_json(output / DETAILS / f"{row}.json")


def image_scores(details: dict[str, Any]) -> list[ImageScore]:
    """PQ of each image that has one, worst first; images of the same PQ by their id.

    Args:
        details: of a row.
    """
    images = details.get("panoptic", {}).get("images", [])
    found = [ImageScore(str(entry["image_id"]), entry["PQ"]) for entry in images if entry.get("PQ") is not None]
    return sorted(found, key=lambda score: (score.pq, score.image_id))


def pseudo_label_pictures(run: Path) -> dict[str, list[tuple[int, Path]]]:
    """Image id -> (finished iterations, picture), in order.

    Args:
        run: folder of a stage or a group.
    """
    found: dict[str, list[tuple[int, Path]]] = {}
    for path in sorted((run / FOLDER).glob("*.png")):
        match = _PICTURE.fullmatch(path.name)
        if match:
            found.setdefault(match[2], []).append((int(match[1]), path))
    return found


def first_middle_last(shots: Sequence[tuple[int, Path]]) -> list[tuple[int, Path]]:
    """At most three of the pictures of an image."""
    places = sorted({0, len(shots) // 2, len(shots) - 1})
    return [shots[place] for place in places] if shots else []
