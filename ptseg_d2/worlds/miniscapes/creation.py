"""Makes a part of miniscapes on first use."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path

from ptseg_d2.worlds.drawing.creation import Drawing, make_once

from .layouts import NUM_TRAIN, NUM_VAL, PARTS, SEED, SIZE, Plan, draw_part

VERSION = 2  # of the drawing code: raise it when scenes of the same seed change


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
    """Make `root/part` unless it exists, as `make_once` does.

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
    total = plan.num_train + (plan.num_val if part == "cityscapes" else 0)
    settings = {"version": VERSION, "part": part, **asdict(plan), "size": list(plan.size)}
    return make_once(
        Path(root) / part, Drawing("miniscapes", settings, partial(draw_part, part=part, plan=plan), total)
    )
