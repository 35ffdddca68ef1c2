"""Makes a drawn data set on first use: in a hidden folder, moved to its place in one step when complete."""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Drawing:
    """A folder to draw.

    Attributes:
        world: name of the world; its manifest is ``<world>.json`` in the folder.
        settings: what the manifest says, JSON values: all that decides what is drawn.
        draw: draws everything into the folder it is given, one scene per step of its iterator.
        num_scenes: number of steps.
    """

    world: str
    settings: Mapping[str, Any]
    draw: Callable[[Path], Iterable[None]]
    num_scenes: int

    @property
    def manifest(self) -> str:
        """Name of the file with the settings."""
        return f"{self.world}.json"


def make_once(final: Path, drawing: Drawing) -> Path:
    """Makes a folder unless it exists. Several processes may call this at once; the first to finish wins.

    Args:
        final: the folder, whose parents are made if missing.
        drawing: what to draw into it.

    Returns:
        The folder. If it was there before it stays as it is, with a warning if its manifest has other settings.
    """
    if not final.exists():
        _create(final, drawing)
    _compare(final, drawing)
    return final


def _create(final: Path, drawing: Drawing) -> None:
    final.parent.mkdir(parents=True, exist_ok=True)
    _sweep(final)
    work = Path(tempfile.mkdtemp(prefix=work_prefix(final) + f"{os.getpid()}.", dir=final.parent))
    try:
        text = f"drawing {drawing.world}/{final.name}"
        for _ in tqdm(drawing.draw(work), total=drawing.num_scenes, desc=text, unit="scene"):
            pass
        (work / drawing.manifest).write_text(json.dumps(drawing.settings, indent=1) + "\n")
        work.chmod(0o755)  # mkdtemp makes it private
        try:
            os.replace(work, final)
        except OSError:
            if not final.exists():
                raise
            logger.info("%s was finished by another process meanwhile", final)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def work_prefix(final: Path) -> str:
    """How the names of hidden folders begin in which processes of this machine draw the folder."""
    return f".{final.name}.{socket.gethostname()}."


def _sweep(final: Path) -> None:
    """Remove what processes of this machine left behind when they were killed."""
    if os.name != "posix":
        return  # elsewhere os.kill(pid, 0) is no harmless question
    for left in final.parent.glob(work_prefix(final) + "*"):
        pid = left.name[len(work_prefix(final)) :].split(".")[0]
        if pid.isdigit() and not _is_alive(int(pid)):
            shutil.rmtree(left, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _compare(final: Path, drawing: Drawing) -> None:
    manifest = final / drawing.manifest
    if not manifest.is_file():
        return  # a world of the user's own in the same layout
    found = json.loads(manifest.read_text())
    other = {key: (found.get(key), value) for key, value in drawing.settings.items() if found.get(key) != value}
    if other:
        text = ", ".join(f"{key} {was} instead of {value}" for key, (was, value) in other.items())
        logger.warning("%s was made with %s; it is used as it is. Delete the folder to draw it anew.", final, text)
