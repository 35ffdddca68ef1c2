"""Keeps two commands from training the same run at the same time, in the same folder."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ptseg_d2.errors import RecipeError

RUNNING = "running.json"
"""Below the folder of a run, while it runs: the process that does."""


@contextmanager
def only_here(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Hold `running.json` in a folder; the one that a killed process of this machine left is taken over.

    Args:
        folder: of the run; exists.

    Raises:
        RecipeError: another process holds it, or one of another machine of which nothing is known from here.
    """
    path = Path(folder) / RUNNING
    _claim(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _claim(path: Path) -> None:
    me = {"host": socket.gethostname(), "pid": os.getpid(), "start": _start_of(os.getpid())}
    while True:
        try:
            with path.open("x", encoding="utf-8") as file:  # O_EXCL: one of two processes makes it
                json.dump(me, file)
            return
        except FileExistsError:
            holder = _read(path)
        if holder is None:
            continue
        if not _is_gone(holder, str(me["host"])):
            raise RecipeError(
                f"{path.parent} is being made by process {holder.get('pid', '?')} on {holder.get('host', '?')}, says "
                f"{path}. Wait until it has ended and run the same command again, or delete that file if the process "
                "is gone."
            )
        path.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any] | None:
    """What the file says, {} if it is no JSON (just being written), None if it has gone meanwhile."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _is_gone(holder: dict[str, Any], host: str) -> bool:
    if not holder or holder["host"] != host:
        return False
    try:
        os.kill(holder["pid"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # it is somebody else's
        pass
    return _start_of(holder["pid"]) != holder["start"]


def _start_of(pid: int) -> str:
    """When a process began, in ticks since the boot: a number that is used again has another one. "" = not known."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]  # a zombie has ended
