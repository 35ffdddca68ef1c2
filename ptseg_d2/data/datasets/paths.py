"""Where data sets live, and errors about missing ones that name the fix."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT_VARIABLE = "DETECTRON2_DATASETS"
DEFAULT_ROOT = "datasets"

REAL_DATA_FIX = "Download it as described in datasets/README.md"
MINISCAPES_FIX = "Create it with: python datasets/prepare_miniscapes.py"
MINILEAVES_FIX = (
    "Create it with: python datasets/prepare_minileaves.py, after moving the folder away if it is there already"
)


def datasets_root() -> Path:
    """Folder with all data sets: $DETECTRON2_DATASETS, by default "datasets" in the working directory."""
    return Path(os.environ.get(ROOT_VARIABLE) or DEFAULT_ROOT).expanduser()


def class_pixels_folder() -> Path:
    """Where `ptseg_d2.data.class_pixels` keeps its counts; made when it is first needed."""
    return datasets_root() / "class_pixels"


def missing(what: str, fix: str) -> FileNotFoundError:
    """Error for missing data.

    Args:
        what: the path, or a phrase with the path, of what is not there.
        fix: a sentence saying how to get it.
    """
    value = os.environ.get(ROOT_VARIABLE)
    setting = repr(value) if value else f"not set, so {DEFAULT_ROOT!r}"
    return FileNotFoundError(f"{what} not found. {fix} (${ROOT_VARIABLE} is {setting}).")


def require(path: Path, fix: str) -> Path:
    """Returns the path if it exists.

    Args:
        path: file or folder.
        fix: a sentence saying how to get it.

    Raises:
        FileNotFoundError: it does not exist; the message names it, $DETECTRON2_DATASETS and the fix.
    """
    if not path.exists():
        raise missing(str(path), fix)
    return path


def list_images(folder: Path, pattern: str, fix: str) -> list[Path]:
    """Sorted files of a folder that match a glob pattern, without hidden ones (macOS leaves ``._*.png``).

    Raises:
        FileNotFoundError: the folder does not exist or holds no such file.
    """
    found = sorted(p for p in require(folder, fix).glob(pattern) if not p.name.startswith("."))
    if not found:
        raise missing(f"{folder} is empty: {folder / pattern}", fix)
    return found


def require_labels(label_files: Iterable[Path], fix: str) -> None:
    """Checks that every label file exists.

    Raises:
        FileNotFoundError: some do not; the message names the first one and their number.
    """
    files: Sequence[Path] = list(label_files)
    absent = [p for p in files if not p.is_file()]
    if absent:
        raise missing(f"label file {absent[0]} ({len(absent)} of {len(files)} label files)", fix)
