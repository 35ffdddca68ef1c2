"""The numbers of a run: merging them into results.json and showing them as a table."""

from __future__ import annotations

import json
import math
import os
import tempfile
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ptseg_d2.classes.tables import SIXTEEN_WAY
from ptseg_d2.results.row import rows_of

import numpy as np
from tabulate import tabulate

COLUMNS = (
    ("panoptic", "PQ"),
    ("panoptic", "SQ"),
    ("panoptic", "RQ"),
    ("panoptic", "PQ_th"),
    ("panoptic", "PQ_st"),
    ("panoptic", "PQ_plus"),
    ("panoptic", "PQ16"),
    ("panoptic", "PQ16" + SIXTEEN_WAY),
    ("semantic", "mIoU"),
    ("semantic", "mIoU16"),
    ("semantic", "mIoU13"),
    ("semantic", "mIoU16" + SIXTEEN_WAY),
    ("instance", "AP50"),
    ("instance", "precision50"),
    ("instance", "recall50"),
)
OPTIONAL = ("PQ16", "PQ16" + SIXTEEN_WAY, "mIoU16", "mIoU13", "mIoU16" + SIXTEEN_WAY)
"""Columns that are left out when no row has them."""
WITH_INTERVAL = ("PQ", "mIoU", "AP50")
"""Columns with their 95 % interval beside the number; results.json has it for all."""
MAX_WIDTH = 160  # characters


def format_table(results: Mapping[str, Any]) -> str:
    """Table with one line per model and the main scores in percent, and the classes of each mean.

    Args:
        results: content of results.json: section ("panoptic", "semantic", "instance") -> row -> score ->
            value, where "ci95" -> score -> [low, high]; "classes" -> name of a mean -> class names.

    Returns:
        text table, one per section where one of all would be too wide; "-" where a row has no such score, and no
        columns for a section without rows.
    """
    sections = list(dict.fromkeys(section for section, _ in COLUMNS))
    table = _table(results, sections)
    if max(len(line) for line in table.splitlines()) > MAX_WIDTH:
        table = "\n\n".join(_table(results, [section]) for section in sections if results.get(section))
    return "\n".join([table, *_class_lists(results)])


def _table(results: Mapping[str, Any], sections: Sequence[str]) -> str:
    rows = {section: results.get(section, {}) for section in sections}
    columns = [
        (section, key)
        for section, key in COLUMNS
        if rows.get(section) and (key not in OPTIONAL or any(key in row for row in rows[section].values()))
    ]
    lines = [
        [name, *(_cell(rows[section].get(name, {}), key) for section, key in columns)]
        for name in rows_of(results, sections)
    ]
    headers = ["", *(key for _, key in columns)]
    aligned = ["left", *["right"] * len(columns)]
    return tabulate(
        lines, headers=headers, tablefmt="github", disable_numparse=True, colalign=aligned if lines else None
    )


def _cell(row: Mapping[str, Any], key: str) -> str:
    """A number, perhaps with its interval: 20.3 [18.9, 21.7]."""
    if row.get(key) is None:
        return "-"
    interval = (row.get("ci95") or {}).get(key) if key in WITH_INTERVAL else None
    return f"{row[key]:.1f}" + (f" [{interval[0]:.1f}, {interval[1]:.1f}]" if interval else "")


def _class_lists(results: Mapping[str, Any]) -> list[str]:
    """Lines with the classes of the means that are in the results, one list for means over the same classes."""
    known = {
        key for section in dict(COLUMNS) for row in results.get(section, {}).values() for key in row if row is not None
    }
    means: dict[tuple[Any, ...], list[str]] = {}
    for name, classes in results.get("classes", {}).items():
        if name in known:
            means.setdefault((name.endswith(SIXTEEN_WAY), *classes), []).append(name)
    lines = []
    for (is_restricted, *classes), names in means.items():
        how = " chosen among these only" if is_restricted else ""
        text = f"{', '.join(names)}: {len(classes)} classes{how}, {', '.join(classes)}"
        lines += textwrap.wrap(text, MAX_WIDTH, subsequent_indent="  ")
    return lines


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
