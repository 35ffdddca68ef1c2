"""Hooks that a model asks for itself: when its teacher and its margins change. What changes is in the model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from ptseg_d2.losses.embedding import EmbeddingLoss

from detectron2.engine import HookBase


class HasTeacher(Protocol):
    """A model with a student and a teacher, see `MomentumTeacher`."""

    def update_teacher_(self, momentum: float) -> None:
        """teacher <- momentum teacher + (1 - momentum) student."""

    def refresh_teacher_(self) -> None:
        """teacher <- student."""


@dataclass(frozen=True)
class TeacherUpdate:
    """How the teacher follows the student.

    Attributes:
        momentum: weight of the old teacher at each update, in [0, 1); 0 = it becomes a copy.
        interval: iterations between two updates; counted from the start of the run, so that a resume keeps it.
        warm_up: the t-th update uses at most 1 - 1/t, so that the first one copies the student ([DACS]).
    """

    momentum: float = 0.99
    interval: int = 1
    warm_up: bool = False

    def build_hook(self, model: HasTeacher) -> HookBase:
        """What does it in training."""
        if self.momentum == 0:
            return RefreshTeacherHook(model, self.interval)
        return EMAHook(model, self.momentum, self.interval, self.warm_up)


class EMAHook(HookBase):
    """teacher <- EMA of the student every `interval` iterations, after the optimiser step."""

    def __init__(self, model: HasTeacher, momentum: float, interval: int = 1, warm_up: bool = False) -> None:
        """
        Args:
            model: holds student and teacher.
            momentum, interval, warm_up: see `TeacherUpdate`.
        """
        self.model = model
        self.momentum = momentum
        self.interval = interval
        self.warm_up = warm_up

    def after_step(self) -> None:
        """Update when the finished iteration is a multiple of the interval."""
        update, rest = divmod(self.trainer.iter + 1, self.interval)
        if rest == 0:
            self.model.update_teacher_(min(self.momentum, 1 - 1 / update) if self.warm_up else self.momentum)


class RefreshTeacherHook(HookBase):
    """Freezes the teacher for `interval` iterations, then replaces it by the student ([thesis], section 7.2)."""

    def __init__(self, model: HasTeacher, interval: int) -> None:
        """
        Args:
            model: holds student and teacher.
            interval: iterations between two replacements.
        """
        self.model = model
        self.interval = interval

    def after_step(self) -> None:
        """Replace when the finished iteration is a multiple of the interval."""
        if (self.trainer.iter + 1) % self.interval == 0:
            self.model.refresh_teacher_()


class EpsilonDecayHook(HookBase):
    """Margins of the embedding loss <- delta + epsilon, where epsilon = start exp(-iteration / decay) ([thesis], 9.2).

    A function of the iteration alone, so that a resumed run goes on with the right one, and so that what a run starts
    from leaves none behind: a `start` of 0 sets 0.
    """

    def __init__(self, criterion: EmbeddingLoss, start: float, decay: float) -> None:
        """
        Args:
            criterion: its `margin_offset` is set before each step.
            start: epsilon at iteration 0, in embedding units.
            decay: iterations after which 1/e of it is left, > 0.
        """
        if decay <= 0:
            raise ValueError(f"MODEL.EMBEDDING.EPSILON_DECAY = {decay} iterations; expected a number above 0")
        self.criterion = criterion
        self.start = start
        self.decay = decay

    def before_step(self) -> None:
        """Set the epsilon of the coming iteration."""
        self.criterion.margin_offset.fill_(self.start * math.exp(-self.trainer.iter / self.decay))
