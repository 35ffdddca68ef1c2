"""Keeps two commands from training the same run at the same time, in the same folder.

The lock is the operating system's, on the file `.running.lock`, and is released with the process that holds it, however
that one ends: nothing that a killed run leaves has to be recognised or removed. The file stays, empty, because removing
it would let one process lock the removed file and a second one its successor. What it holds means nothing.

Between machines the lock counts as far as their file system passes locks on: NFS does (for NFS 3 with its lock service
running), and frees what a machine held some minutes after that machine has died. Where a file system knows no locks at
all, filelock warns, and takes the existence of the file for one.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ptseg_d2.errors import RecipeError

from filelock import FileLock, Timeout

LOCK = ".running.lock"
"""In the folder of a run for good; locked while it runs."""
RUNNING = "running.json"
"""Beside it while the run goes on, and after a kill: who holds the lock, for people and for the message."""


@contextmanager
def only_here(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Hold a folder while this process works in it; does not wait for another one that does.

    Args:
        folder: of the run; exists.

    Raises:
        RecipeError: another process holds it.
    """
    lock = _claim(Path(folder))
    note = Path(folder) / RUNNING
    try:
        # For information only: a full disk is for the work itself to report.
        with suppress(OSError):
            note.write_text(json.dumps({"host": socket.gethostname(), "pid": os.getpid()}), encoding="utf-8")
        yield
    finally:
        with suppress(OSError):
            note.unlink(missing_ok=True)
        lock.release()


def _claim(folder: Path) -> FileLock:
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        holder = _holder(folder / RUNNING)
        host = holder.get("host")
        where = f"process {holder.get('pid', '?')} on {host}, says {folder / RUNNING}" if host else "another process"
        advice = ""
        if host and host != socket.gethostname():
            advice = f". If {host} is down, its file server frees the folder some minutes later"
        raise RecipeError(
            f"{folder} is being made by {where}. Wait until it has ended, or end it, and run the same command "
            f"again{advice}."
        ) from None
    return lock


def _holder(note: Path) -> dict[str, Any]:
    """What the note says, {} if there is none or it cannot be read: it is just being written, or the disk was full."""
    try:
        content = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
