"""The numbers of a run: merging them into results.json and showing them as a table."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

ROW_ORDER = (
    *("source", "source_sure", "styled", "adapted", "adapted_sure", "selftrain", "mix", "mix_oracle", "oracle"),
    "components",
)
COLUMNS = (
    ("panoptic", "PQ"),
    ("panoptic", "SQ"),
    ("panoptic", "RQ"),
    ("panoptic", "PQ_th"),
    ("panoptic", "PQ_st"),
    ("panoptic", "PQ_plus"),
    ("semantic", "mIoU"),
    ("semantic", "mIoU16"),
    ("semantic", "mIoU13"),
    ("instance", "AP50"),
    ("instance", "precision50"),
    ("instance", "recall50"),
)


def format_table(results: Mapping[str, Any]) -> str:
    """Table with one line per model and the main scores in percent, and the classes of each mean.

    Args:
        results: content of results.json: section ("panoptic", "semantic", "instance") -> row -> score ->
            value; "classes" -> name of a mean -> class names.

    Returns:
        text table; "-" where a row has no such score, and no columns for a section without rows.
    """
    sections = {section: results.get(section, {}) for section, _ in COLUMNS}
    found = dict.fromkeys(row for rows in sections.values() for row in rows)
    rows = [row for row in ROW_ORDER if row in found] + [row for row in found if row not in ROW_ORDER]
    columns = [(section, key) for section, key in COLUMNS if sections[section]]
    lines = [[row, *(sections[section].get(row, {}).get(key) for section, key in columns)] for row in rows]
    headers = ["", *(key for _, key in columns)]
    table = tabulate(lines, headers=headers, floatfmt=".1f", missingval="-", tablefmt="github")
    means = [
        f"{name}: {len(classes)} classes, {', '.join(classes)}" for name, classes in results.get("classes", {}).items()
    ]
    return "\n".join([table, *means])


def update_results(path: str | os.PathLike[str], updates: Mapping[str, Any]) -> dict[str, Any]:
    """Merge numbers into a results file, which is made if missing and replaced as a whole.

    Args:
        path: results.json.
        updates: nested dict; a dict is merged into the dict of the same key, any other value replaces. NaN
            and infinity become null, NumPy numbers plain ones.

    Returns:
        the content of the file afterwards.

    Raises:
        ValueError: the file is not a JSON object.
    """
    path = Path(path)
    results: dict[str, Any] = {}
    if path.exists():
        try:
            results = json.loads(path.read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise ValueError(f"{path} is not valid JSON ({error}); move it away to start a new one") from error
        if not isinstance(results, dict):
            raise ValueError(f"{path} must hold a JSON object; move it away to start a new one")
    results = _merged(results, updates)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, prefix=path.name, suffix=".partial", delete=False, encoding="utf-8"
    ) as file:
        json.dump(results, file, indent=1, allow_nan=False)
    os.chmod(file.name, 0o644)  # a temporary file is private by default
    os.replace(file.name, path)
    return results


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(old)
    for key, value in new.items():
        before = merged.get(key)
        if isinstance(value, Mapping):
            merged[key] = _merged(before if isinstance(before, Mapping) else {}, value)
        else:
            merged[key] = _plain(value)
    return merged


def _plain(value: Any) -> Any:
    """JSON value of a number, a list of them or anything JSON already knows."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
