"""What a rule of pseudo labels is: from what is known of the target views to the labels that the student learns.

Shapes: G target images, V views each, C classes, h x w the head's resolution, H x W the crop; class 255 = ignore.
Nothing here has a gradient.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from ptseg_d2.registry import NamedRegistry

from torch import Tensor


class PseudoLabels(NamedTuple):
    """Labels of the views of all target images.

    Attributes:
        labels: (G V, H, W) int64, 255 where unsure.
        confidence: (G V, H, W) float in [0, 1], weight of each pixel.
    """

    labels: Tensor
    confidence: Tensor


@dataclass(frozen=True)
class RuleOptions:
    """Numbers of all rules; each takes what it needs.

    Attributes:
        confidence_floor: probability from which a pixel counts as confident, in [0, 1].
        threshold_upper: share of the peak confidence that a frequent class must reach (zeta), in [0, 1].
        threshold_lower: lowest threshold, in [0, 1].
        threshold_beta: class prior at which the threshold begins to be discounted (beta).
    """

    confidence_floor: float = 0.968
    threshold_upper: float = 0.75
    threshold_lower: float = 0.2
    threshold_beta: float = 1e-3


def _of_this_process(values: Tensor) -> Tensor:
    return values


class Evidence(NamedTuple):
    """What is known of the views of all target images.

    Attributes:
        probabilities: per image (V, C, h, w) float, the teacher's softmax fused over the image's views; empty for a
            rule that does not ask the teacher.
        class_prior: (C,) float, running mean of the teacher's predictions.
        class_masks: (G V, H, W) int64, predicted by an earlier stage; None for a rule that does not need them.
        size: (H, W) of the labels.
        mean_over_processes: the mean of a tensor over all processes of a distributed run.
    """

    probabilities: Sequence[Tensor]
    class_prior: Tensor
    class_masks: Tensor | None
    size: tuple[int, ...]
    mean_over_processes: Callable[[Tensor], Tensor] = _of_this_process


class PseudoLabelRule(ABC):
    """Base of the rules; what one needs and gives is said by its class, before it is made.

    Attributes:
        makes_labels: False for a rule that leaves the student without labels; it is never called.
        asks_teacher: whether it looks at the teacher's probabilities, so that the labels follow the teacher.
        needs_masks: whether it looks at class masks of an earlier stage (INPUT.PREDICTED_MASKS).
        uses_prior: whether its loss weighs classes by their prior (MODEL.SELF_TRAINING.FOCAL_POWER).
    """

    makes_labels: ClassVar[bool] = True
    asks_teacher: ClassVar[bool] = True
    needs_masks: ClassVar[bool] = False
    uses_prior: ClassVar[bool] = False

    def __init__(self, options: RuleOptions) -> None:
        """
        Args:
            options: numbers of the config.
        """
        self.options = options

    @abstractmethod
    def __call__(self, evidence: Evidence) -> PseudoLabels:
        """Labels of all views."""


PSEUDO_LABEL_REGISTRY: NamedRegistry[type[PseudoLabelRule]] = NamedRegistry(
    "PSEUDO_LABEL", "MODEL.SELF_TRAINING.PSEUDO_LABELS"
)
"""By the names for a config."""
