"""Ends a training whose loss is no number any more, before the optimiser spoils the weights with it."""

from __future__ import annotations

from typing import Any

import torch
from detectron2.utils.events import get_event_storage
from torch import nn


class NanGuard:
    """A forward hook of the trained model: every process checks its own terms.

    Detectron2's trainer looks at their sum only, and in the main process only.
    """

    def __init__(self, folder: str) -> None:
        """
        Args:
            folder: of the run, for the message.
        """
        self.folder = folder

    def __call__(self, model: nn.Module, inputs: Any, losses: Any) -> None:
        """Look at the losses of a training step.

        Raises:
            FloatingPointError: a term is NaN or infinite; names it, the iteration and what to do.
        """
        if not (model.training and isinstance(losses, dict) and losses):
            return
        values = torch.stack([loss.detach().float() for loss in losses.values()]).tolist()
        broken = {name: value for name, value in zip(losses, values) if not abs(value) < float("inf")}
        if broken:
            terms = ", ".join(f"{name} = {value}" for name, value in broken.items())
            raise FloatingPointError(
                f"{terms} at iteration {get_event_storage().iter} of {self.folder}. The parameters were not changed "
                "by this step. Lower SOLVER.BASE_LR (or set SOLVER.CLIP_GRADIENTS.ENABLED True) and run again; if it "
                "happens at the first iterations, check the images and labels of the data sets."
            )
