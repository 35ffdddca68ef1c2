"""Exponential moving average of a network: the momentum teacher ([MeanTeacher])."""

from __future__ import annotations

import torch
from torch import Tensor, nn


@torch.no_grad()
def update_ema_(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """Move the teacher towards the student: teacher <- momentum * teacher + (1 - momentum) * student.

    Parameters and floating-point buffers (batch-norm statistics) are averaged, because a teacher with old
    statistics labels poorly; integer buffers (counters) are copied.

    Args:
        teacher: network with the same parameter and buffer names and shapes as `student`.
        student: network in training, unchanged.
        momentum: weight of the old teacher, in [0, 1]; 0 copies the student exactly.

    Raises:
        ValueError: momentum outside [0, 1], or the networks differ in names or shapes.
    """
    if not 0 <= momentum <= 1:
        raise ValueError(f"EMA momentum is {momentum}, expected a number in [0, 1].")
    for old, new in _tensor_pairs(teacher, student):
        if old.is_floating_point() and momentum > 0:
            old.lerp_(new.to(old), 1 - momentum)
        else:
            old.copy_(new)


def copy_(teacher: nn.Module, student: nn.Module) -> None:
    """Make the teacher equal to the student, in place: parameters and all buffers."""
    update_ema_(teacher, student, momentum=0.0)


def _tensor_pairs(teacher: nn.Module, student: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """(teacher, student) tensors of the same name."""
    old = {**dict(teacher.named_parameters()), **dict(teacher.named_buffers())}
    new = {**dict(student.named_parameters()), **dict(student.named_buffers())}
    differing = sorted(
        name
        for name in old.keys() | new.keys()
        if name not in old or name not in new or old[name].shape != new[name].shape
    )
    if differing:
        raise ValueError(
            f"Teacher and student must be the same network, but {len(differing)} of their tensors are "
            f"missing on one side or differ in shape, e.g. {differing[:3]}. Build both from one config."
        )
    return [(old[name], new[name]) for name in old]
