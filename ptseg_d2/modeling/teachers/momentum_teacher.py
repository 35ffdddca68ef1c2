"""Student and teacher in one module: the base of both self-training meta-architectures.

A `MomentumTeacher` holds two copies of one network. The student is trained; the teacher, always in
evaluation mode, makes pseudo labels and is changed by hooks only (`ptseg_d2.modeling.hooks`), after the
optimiser step. Both, and every counter, live in the state dict, so that a killed run resumes exactly.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from ptseg_d2.errors import check_choice
from ptseg_d2.modeling.distributed import average_statistics_
from ptseg_d2.modeling.ema import copy_, update_ema_
from ptseg_d2.modeling.hooks import TeacherUpdate
from ptseg_d2.modeling.network import DenseNetwork
from ptseg_d2.random_states import seeded

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase
from detectron2.utils import comm
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Noise = Callable[[Tensor], Tensor]
"""(3, H, W) grey levels -> the same, as the student sees them in training."""


class PseudoLabelImage(NamedTuple):
    """The pseudo label of a whole image.

    Attributes:
        shows_instances: whether the values are instance ids (0 = none, -1 = ignored) or classes (255 = unsure).
        values: (h, w) int64.
    """

    shows_instances: bool
    values: NDArray[np.int64]


class MomentumTeacher(nn.Module):
    """Holds student and teacher; sub-classes add the target loss."""

    learns_from_target = True
    """Training opens the target stream, too."""

    config_node = "MODEL.SELF_TRAINING"
    """Of the options of student and teacher, for messages."""

    student: DenseNetwork
    teacher: DenseNetwork
    num_steps: Tensor

    def __init__(
        self,
        *,
        student: DenseNetwork,
        target_weight: float,
        ramp_iterations: int,
        bn_stats: str,
        evaluate: str,
        update: TeacherUpdate | None = None,
        seed: int = 0,
    ) -> None:
        """
        Args:
            student: the trained network; the teacher begins as its copy.
            target_weight: weight of the target loss after the ramp.
            ramp_iterations: training steps over which the weight grows linearly from 0; 0 = no ramp.
            bn_stats: "frozen" keeps the student's running statistics and trains its affine terms ([SAC],
                "frozen statistics"; `FrozenBatchNorm2d` would freeze both). "target" normalises each domain
                by its own batch and lets the running statistics follow the target batches only (with ClassMix these
                hold the pasted source pixels too).
            evaluate: "student" or "teacher", the one that predicts in evaluation mode.
            update: how the teacher follows the student; None = the default average.
            seed: of the random numbers of training steps (mixing, masking, anchors).
        """
        super().__init__()
        check_choice(f"{self.config_node}.EVALUATE", evaluate, ("student", "teacher"))
        check_choice(f"{self.config_node}.BN_STATS", bn_stats, ("frozen", "target"))
        self.student = student
        self.teacher = copy.deepcopy(student).requires_grad_(False)
        self.target_weight = target_weight
        self.ramp_iterations = ramp_iterations
        self.bn_stats = bn_stats
        self.evaluate = evaluate
        self.update = update or TeacherUpdate()
        self.seed = seed
        self.register_buffer("num_steps", torch.zeros((), dtype=torch.int64))
        self._register_load_state_dict_pre_hook(spread_single_network_)

    @classmethod
    def needs_masks(cls, cfg: CfgNode) -> str:
        """The choice of a config by which it learns from predicted class masks, for messages; "" = it does not."""
        return ""

    @classmethod
    def needs_detections(cls, cfg: CfgNode) -> bool:
        """Whether it learns from a detector's instances."""
        return False

    @property
    def device(self) -> torch.device:
        """Where both networks live."""
        return self.student.device

    def train(self, mode: bool = True) -> MomentumTeacher:
        """As `nn.Module.train`, but the teacher stays in evaluation mode, and so do frozen statistics."""
        super().train(mode)
        self.teacher.eval()
        if self.bn_stats == "frozen":
            for module in batch_norms(self.student):
                module.eval()
        return self

    @property
    def makes_labels(self) -> bool:
        """Whether it has a pseudo label to show."""
        return True

    def build_hooks(self) -> list[HookBase]:
        """What changes it in training besides the optimiser."""
        return [self.update.build_hook(self), *self.student.build_hooks()]

    def worth_showing(self, images: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Those of some target images whose pseudo labels show something; all of them if none does."""
        return images

    def pseudo_label_image(self, item: dict[str, Any], noise: Noise) -> PseudoLabelImage:
        """What a step would make the student learn on a target image, the whole image being its only view.

        Args:
            item: entry of the target, in evaluation mode.
            noise: of the image that the student sees.
        """
        raise NotImplementedError("MomentumTeacher is abstract: use its semantic or embedding sub-class")

    def update_teacher_(self, momentum: float) -> None:
        """teacher <- momentum teacher + (1 - momentum) student, buffers included; the same in every process."""
        self._share_statistics()
        update_ema_(self.teacher, self.student, momentum)

    def refresh_teacher_(self) -> None:
        """Make the teacher an exact copy of the student, the same in every process."""
        self._share_statistics()
        copy_(self.teacher, self.student)

    def _share_statistics(self) -> None:
        if self.bn_stats != "frozen":
            average_statistics_(batch_norms(self.student))

    def predict(self, images: Tensor) -> dict[str, Tensor]:
        """Dense maps of the network that `evaluate` names; see `DenseNetwork.predict`."""
        network: DenseNetwork = getattr(self, self.evaluate)
        return network.predict(images)

    def forward(self, batched_inputs: list[dict[str, Any]]) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """Training: weighted source and target losses. Else the outputs of the evaluated network."""
        if not self.training:
            network: DenseNetwork = getattr(self, self.evaluate)
            return network.output_per_image(batched_inputs)
        source = [item for item in batched_inputs if item["domain"] == "source"]
        target = [item for item in batched_inputs if item["domain"] == "target"]
        losses: dict[str, Tensor] = {}
        # Like the data, a function of seed, step and process: a resumed run mixes and masks as an unbroken one.
        place = np.random.default_rng((self.seed, int(self.num_steps), comm.get_rank()))
        with seeded(int(place.integers(2**31))):
            if source:
                with untracked_statistics(self.student):
                    losses.update({f"{name}_source": loss for name, loss in self.student(source).items()})
            if target:
                weight = self.current_target_weight()
                losses.update({name: weight * loss for name, loss in self.target_losses(target, source).items()})
        self.num_steps += 1
        return losses

    def current_target_weight(self) -> float:
        """The target weight at this step of the ramp."""
        if self.ramp_iterations == 0:
            return self.target_weight
        return self.target_weight * min(1.0, int(self.num_steps) / self.ramp_iterations)

    def target_losses(self, target: list[dict[str, Any]], source: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Unweighted losses on the target images of a batch, keys `loss_*_target`."""
        raise NotImplementedError("MomentumTeacher is abstract: use its semantic or embedding sub-class")


def batch_norms(module: nn.Module) -> list[_BatchNorm]:
    """All batch-norm layers inside a module."""
    return [layer for layer in module.modules() if isinstance(layer, _BatchNorm)]


@contextmanager
def untracked_statistics(module: nn.Module) -> Iterator[None]:
    """Batch-norm layers in training mode normalise by the batch but leave their running statistics alone."""
    training = [layer for layer in batch_norms(module) if layer.training]
    for layer in training:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in training:
            layer.track_running_stats = True


def spread_single_network_(state_dict: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Let a checkpoint of a single network (an earlier stage) initialise student and teacher alike."""
    names = [name for name in state_dict if name.startswith(prefix)]
    if any(name.startswith(f"{prefix}student.") for name in names):
        return
    for name in names:
        value = state_dict.pop(name)
        for role in ("student", "teacher"):
            state_dict[f"{prefix}{role}.{name[len(prefix) :]}"] = value
