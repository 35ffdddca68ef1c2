"""When things happen: teacher updates, random states, progress. Mathematics lives elsewhere."""

from __future__ import annotations

import math
import random
import sys
from typing import Any

from ptseg_d2.losses.embedding import EmbeddingLoss
from ptseg_d2.modeling.teachers.momentum_teacher import MomentumTeacher

import numpy as np
import torch
from detectron2.engine import HookBase
from detectron2.utils.events import EventWriter, get_event_storage
from tqdm import tqdm


class EMAHook(HookBase):
    """teacher <- EMA of the student every `interval` iterations, after the optimiser step."""

    def __init__(self, model: MomentumTeacher, momentum: float, interval: int = 1, warm_up: bool = False) -> None:
        """
        Args:
            model: holds student and teacher.
            momentum: weight of the old teacher, in [0, 1).
            interval: iterations between updates; counted from the start of the run, so that a resume keeps it.
            warm_up: the t-th update uses at most 1 - 1/t, so that the first one copies the student (DACS).
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
    """Freezes the teacher for `interval` iterations, then replaces it by the student (thesis section 8)."""

    def __init__(self, model: MomentumTeacher, interval: int) -> None:
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
    """Margins of the embedding loss <- delta + epsilon, where epsilon = start exp(-iteration / decay) (thesis 9.2).

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


class RandomStateHook(HookBase):
    """Carries the random states of the process through a checkpoint, so that a resumed run is the same run."""

    def state_dict(self) -> dict[str, Any]:
        """States of Python, NumPy and torch."""
        return {
            "python": random.getstate(),
            "numpy": np.random.get_state(),
            "torch": torch.random.get_rng_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put the states back."""
        random.setstate(state["python"])
        np.random.set_state(state["numpy"])
        torch.random.set_rng_state(state["torch"].cpu())


class ProgressBar(EventWriter):
    """tqdm with the current losses and the time left; on a file, one line every half minute."""

    def __init__(self, description: str, max_iter: int, smoothing: int = 20) -> None:
        """
        Args:
            description: shown on the left.
            max_iter: iterations of the whole run.
            smoothing: iterations over which the shown losses are medians.
        """
        self.description = description
        self.max_iter = max_iter
        self.smoothing = smoothing
        self._bar: tqdm | None = None

    def write(self) -> None:
        """Show the storage's iteration and losses."""
        storage = get_event_storage()
        if self._bar is None:
            self._bar = tqdm(
                desc=self.description,
                total=self.max_iter,
                initial=storage.iter,
                mininterval=1 if sys.stderr.isatty() else 30,
                unit="it",
                dynamic_ncols=True,
            )
        losses = {
            name.removeprefix("loss_"): f"{history.median(self.smoothing):.3g}"
            for name, history in storage.histories().items()
            if name.startswith("loss_") or name == "total_loss"
        }
        self._bar.set_postfix(losses, refresh=False)
        self._bar.update(min(storage.iter + 1, self.max_iter) - self._bar.n)

    def close(self) -> None:
        """Finish the line."""
        if self._bar is not None:
            self._bar.close()
