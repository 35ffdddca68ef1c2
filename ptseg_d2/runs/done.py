"""`done.json`: a run is finished when it is there; it says with which settings, on what, and how long."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ptseg_d2.errors import RecipeError

DONE = "done.json"

RESULTS = "results.json"
"""Below OUTPUT_DIR of a recipe: its scores."""


def read_done(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """`done.json` of a run.

    Raises:
        RecipeError: the run is not finished.
    """
    done = Path(folder) / DONE
    if not done.exists():
        raise RecipeError(f"{folder} is not finished: there is no {done}. Train first, without --eval-only.")
    content: dict[str, Any] = json.loads(done.read_text(encoding="utf-8"))
    return content


def identity(folder: Path) -> str:
    """What tells a finished run from the same one made again; "" for runs of a version that kept none."""
    return str(read_done(folder).get("id", ""))
