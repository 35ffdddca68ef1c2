"""Makes a part of miniscapes on first use: in a hidden folder, moved to its place in one step when complete."""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
import tempfile
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from .layouts import NUM_TRAIN, NUM_VAL, PARTS, SEED, SIZE, Plan, draw_part

logger = logging.getLogger(__name__)

VERSION = 2  # of the drawing code: raise it when scenes of the same seed change
MANIFEST = "miniscapes.json"


def ensure(
    root: Path,
    part: str,
    *,
    num_train: int | None = None,
    num_val: int = NUM_VAL,
    size: tuple[int, int] = SIZE,
    seed: int = SEED,
    full_classes: bool = True,
) -> Path:
    """Make `root/part` unless it exists. Several processes may call this at once; the first to finish wins.

    Args:
        root: folder of miniscapes, usually $DETECTRON2_DATASETS/miniscapes.
        part: "synthia", "gta5" or "cityscapes".
        num_train: scenes to draw; None = `NUM_TRAIN[part]`.
        num_val: scenes of the val split (cityscapes only).
        size: width, height in pixels.
        seed: non-negative; another one gives another world.
        full_classes: False leaves semantic truck, train and terrain out of synthia, as in the real one.

    Returns:
        The folder. If it was there before with other settings it stays as it is, with a warning.

    Raises:
        ValueError: unknown part.
    """
    if part not in PARTS:
        raise ValueError(f"part is {part!r}; expected one of {', '.join(PARTS)}")
    plan = Plan(NUM_TRAIN[part] if num_train is None else num_train, num_val, size, seed, full_classes)
    final = Path(root) / part
    if not final.exists():
        _create(final, part, plan)
    _compare(final, part, plan)
    return final


def describe(part: str, plan: Plan) -> dict[str, object]:
    """What the manifest of a part says."""
    return {"version": VERSION, "part": part, **asdict(plan), "size": list(plan.size)}


def _create(final: Path, part: str, plan: Plan) -> None:
    final.parent.mkdir(parents=True, exist_ok=True)
    _sweep(final)
    work = Path(tempfile.mkdtemp(prefix=work_prefix(final) + f"{os.getpid()}.", dir=final.parent))
    try:
        total = plan.num_train + (plan.num_val if part == "cityscapes" else 0)
        for _ in tqdm(draw_part(work, part, plan), total=total, desc=f"drawing miniscapes/{part}", unit="scene"):
            pass
        (work / MANIFEST).write_text(json.dumps(describe(part, plan), indent=1) + "\n")
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


def _compare(final: Path, part: str, plan: Plan) -> None:
    manifest = final / MANIFEST
    if not manifest.is_file():
        return  # a world of the user's own in the same layout
    found, wanted = json.loads(manifest.read_text()), describe(part, plan)
    other = {key: (found.get(key), value) for key, value in wanted.items() if found.get(key) != value}
    if other:
        text = ", ".join(f"{key} {was} instead of {value}" for key, (was, value) in other.items())
        logger.warning("%s was made with %s; it is used as it is. Delete the folder to draw it anew.", final, text)
