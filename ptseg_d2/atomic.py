"""Files and folders that are replaced as a whole: whatever kills a process, the old one or the new one is there."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replaced_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Where to write a file that takes the place of `path` at the end, and not at all after an error.

    Its name is no other process's, hidden, and ends like that of `path`: many writers choose a format by it.
    """
    path = Path(path)
    partial = path.with_name(f".{path.stem}.{uuid.uuid4().hex}.partial{path.suffix}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_atomically(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a file, text in UTF-8, in place of an older one."""
    with replaced_file(path) as partial:
        partial.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


def replace_folder(new: Path, folder: Path) -> None:
    """Put a complete folder in the place of `folder`, which is removed if it exists."""
    old = folder.with_name(f".{folder.name}.replaced")
    shutil.rmtree(old, ignore_errors=True)  # of a kill
    if folder.exists():
        os.replace(folder, old)  # whole: a kill while it is removed leaves nothing half under its name
    os.replace(new, folder)
    shutil.rmtree(old, ignore_errors=True)
