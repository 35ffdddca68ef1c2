"""What a training carries through its checkpoints and shows of itself; hooks of a model are in `modeling/hooks.py`."""

from __future__ import annotations

import random
import sys
from typing import Any

import numpy as np
import torch
from detectron2.engine import HookBase
from detectron2.utils.events import EventWriter, get_event_storage
from tqdm import tqdm


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
