"""Early stopping on a validation loss, as a Detectron2 hook ([PanopticUNet], section 4.1.3)."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable, Iterable
from typing import Any, Protocol, runtime_checkable

from ptseg_d2.data.dataset_dicts import source_dicts
from ptseg_d2.data.validation import validation_batches, validation_dicts

import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.utils import comm
from detectron2.utils.events import get_event_storage
from torch import Tensor, nn

logger = logging.getLogger(__name__)


class StopTraining(BaseException):
    """Ends training at the beginning of a step; `Trainer.train` catches it, and all `after_train` hooks run.

    No `Exception`: Detectron2's loop would report it with a traceback.
    """


@runtime_checkable
class ValidatedNetwork(Protocol):
    """A network whose loss can be looked at without training.

    Attributes:
        training: as of `nn.Module`.
    """

    training: bool

    def losses(self, batched_inputs: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Weighted terms on labelled images; in evaluation mode it changes nothing."""
        ...

    def train(self, mode: bool = True) -> Any:
        """As of `nn.Module`."""
        ...

    def eval(self) -> Any:
        """As of `nn.Module`."""
        ...


class EarlyStopping(HookBase):
    """Looks at the validation loss, ends training when it falls no more, and leaves the best weights in model_final.

    Its state, the best weights among it, is part of every checkpoint: a resumed run is the run that was not killed.
    It must come before the checkpointer.
    """

    def __init__(
        self,
        model: nn.Module,
        validate: Callable[[], dict[str, float]],
        save: Callable[..., None],
        *,
        period: int,
        patience: int,
    ) -> None:
        """
        Args:
            model: trained network, without DistributedDataParallel around it.
            validate: terms of the loss on the validation images.
            save: of Detectron2's checkpointer.
            period: iterations between two looks, >= 1; the last iteration is looked at, too.
            patience: looks in a row without a lower loss after which training ends, >= 1.

        Raises:
            ValueError: a number is out of range.
        """
        if period < 1 or patience < 1:
            raise ValueError(
                f"SOLVER.VALIDATION_PERIOD = {period} and SOLVER.PATIENCE = {patience}; expected 1 or more each"
            )
        self.model = model
        self.validate = validate
        self.save = save
        self.period = period
        self.patience = patience
        self.best_loss = math.inf
        self.best_iteration = -1
        self.best_weights: dict[str, Tensor] = {}
        self.num_worse = 0

    @property
    def is_over(self) -> bool:
        """Whether the patience is at its end."""
        return self.num_worse >= self.patience

    def before_step(self) -> None:
        """End here, and not after the step that was one too many: that one's checkpoint knows of it."""
        if self.is_over:
            raise StopTraining

    def after_step(self) -> None:
        """Look when the finished iteration is a multiple of the period, or the last one.

        Raises:
            FloatingPointError: training ends, and no loss was finite.
        """
        finished = self.trainer.iter + 1
        if finished % self.period and finished != self.trainer.max_iter:
            return
        terms = self.validate()
        loss = sum(terms.values())
        get_event_storage().put_scalars(
            smoothing_hint=False, **{f"validation/{name}": value for name, value in {**terms, "loss": loss}.items()}
        )
        if loss < self.best_loss:
            self.best_loss, self.best_iteration, self.num_worse = loss, self.trainer.iter, 0
            self.best_weights = {name: value.cpu().clone() for name, value in self.model.state_dict().items()}
        else:  # also if it is not a number
            self.num_worse += 1
        if not self.best_weights and (self.is_over or finished == self.trainer.max_iter):
            found = ", ".join(f"{name} {value:g}" for name, value in terms.items())
            raise FloatingPointError(
                f"iteration {self.trainer.iter}: no validation loss was a finite number, the last one {found}; lower "
                "SOLVER.BASE_LR, or look at the labels of DATASETS.VALIDATION"
            )

    def after_train(self) -> None:
        """Put the best weights into the model and into model_final, unless training was interrupted."""
        if not self.best_weights or not (self.is_over or self.trainer.iter >= self.trainer.max_iter):
            return
        iteration = min(self.trainer.iter, self.trainer.max_iter) - 1
        logger.info(
            "Best validation loss %.4f at iteration %d; training ended at %d",
            *(self.best_loss, self.best_iteration, iteration),
        )
        self.model.load_state_dict(self.best_weights)
        self.save("model_final", iteration=iteration)

    def state_dict(self) -> dict[str, Any]:
        """Best loss, when it was, its weights, and the looks since then."""
        names = ("best_loss", "best_iteration", "best_weights", "num_worse")
        return {name: copy.copy(getattr(self, name)) for name in names}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        for name, value in state.items():
            setattr(self, name, value)


@torch.no_grad()
def mean_losses(model: ValidatedNetwork, batches: Iterable[list[dict[str, Any]]]) -> dict[str, float]:
    """Terms of the loss in evaluation mode, each the mean over the images; as the main process has them.

    Args:
        model: the network.
        batches: lists of labelled images.
    """
    was_training = model.training
    model.eval()
    totals: dict[str, float] = {}
    num_images = 0
    for batch in batches:
        for name, loss in model.losses(batch).items():
            totals[name] = totals.get(name, 0.0) + float(loss) * len(batch)
        num_images += len(batch)
    model.train(was_training)
    # Batch-norm statistics, and so losses, differ between processes; the decision must not.
    terms: dict[str, float] = comm.all_gather({name: total / num_images for name, total in totals.items()})[0]
    return terms


def require_validation_loss(cfg: CfgNode) -> None:
    """Raise a ValueError when DATASETS.VALIDATION is to stop a network that has no `losses`."""
    network = META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)
    if cfg.DATASETS.VALIDATION and not hasattr(network, "losses"):
        raise ValueError(
            f"DATASETS.VALIDATION = {tuple(cfg.DATASETS.VALIDATION)}: {network.__name__} of stage {cfg.RECIPE.STAGE} "
            "has no validation loss; use a network with `losses`, such as PanopticUNet, or leave it empty"
        )


def early_stopping_hooks(cfg: CfgNode, model: nn.Module, save: Callable[..., None]) -> list[HookBase]:
    """The hook that DATASETS.VALIDATION asks for, or none.

    Args:
        cfg: of the stage.
        model: trained network, without DistributedDataParallel around it.
        save: of Detectron2's checkpointer.

    Raises:
        ValueError: the network has no `losses`, or the labels are the target's.
    """
    if not cfg.DATASETS.VALIDATION:
        return []
    require_validation_loss(cfg)
    assert isinstance(model, ValidatedNetwork)
    network: ValidatedNetwork = model
    dicts = validation_dicts(cfg)
    num_images = sum(len(part) for _, part in source_dicts(cfg))
    epoch = math.ceil(num_images / cfg.SOLVER.SOURCE_PER_BATCH)
    return [
        EarlyStopping(
            model,
            lambda: mean_losses(network, validation_batches(cfg, dicts)),
            save,
            period=cfg.SOLVER.VALIDATION_PERIOD or epoch,
            patience=cfg.SOLVER.PATIENCE,
        )
    ]
