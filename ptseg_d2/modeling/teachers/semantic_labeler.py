"""What the student learns on target images: pseudo labels from the teacher, or fixed ones from a file.

Shapes: G target images, V views each, C classes, h x w the head's resolution, H x W the crop.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ptseg_d2.data.datasets import classes_of
from ptseg_d2.errors import check_choice
from ptseg_d2.modeling.distributed import mean_over_processes
from ptseg_d2.modeling.network import DenseNetwork
from ptseg_d2.pseudo_labels.guidance import guide
from ptseg_d2.pseudo_labels.semantic import fuse_views, select_by_share, select_pseudo_labels, update_class_prior_
from ptseg_d2.resizing import resize

import torch
from detectron2.config import CfgNode
from torch import Tensor, nn

KINDS = ("class_thresholds", "confidence_share", "predicted", "none")


class PseudoLabels(NamedTuple):
    """Labels of the views of all target images.

    Attributes:
        labels: (G V, H, W) int64, 255 where unsure.
        confidence: (G V, H, W) float in [0, 1], weight of each pixel.
    """

    labels: Tensor
    confidence: Tensor


class SemanticLabeler(nn.Module):
    """Makes pseudo labels; its class prior is state that a checkpoint keeps."""

    class_prior: Tensor

    def __init__(
        self,
        *,
        kind: str,
        num_classes: int,
        confidence_floor: float,
        prior_momentum: float,
        threshold_upper: float,
        threshold_lower: float,
        threshold_beta: float,
        thing_ids: tuple[int, ...] = (),
    ) -> None:
        """
        Args:
            kind: "class_thresholds" (SAC), "confidence_share" (DACS), "predicted" (masks that an earlier stage or
                tools/predict_masks.py wrote) or "none".
            num_classes: C.
            confidence_floor: probability of a confident pixel in DACS' share.
            prior_momentum: of the running class prior chi, in [0, 1).
            threshold_upper: zeta, share of the peak confidence a frequent class must reach.
            threshold_lower: lowest threshold.
            threshold_beta: class prior below which the threshold is discounted; also chi's "not seen" value.
            thing_ids: classes that guidance takes away where it found no instance.
        """
        super().__init__()
        check_choice("MODEL.SELF_TRAINING.PSEUDO_LABELS", kind, KINDS)
        self.kind = kind
        self.confidence_floor = confidence_floor
        self.prior_momentum = prior_momentum
        self.threshold_upper = threshold_upper
        self.threshold_lower = threshold_lower
        self.threshold_beta = threshold_beta
        self.thing_ids = thing_ids
        self.register_buffer("class_prior", torch.full((num_classes,), threshold_beta))

    @classmethod
    def from_config(cls, cfg: CfgNode) -> SemanticLabeler:
        """Options from MODEL.SELF_TRAINING."""
        options = cfg.MODEL.SELF_TRAINING
        return cls(
            kind=options.PSEUDO_LABELS,
            num_classes=cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES,
            confidence_floor=options.CONFIDENCE_FLOOR,
            prior_momentum=options.PRIOR_MOMENTUM,
            threshold_upper=options.THRESHOLD_UPPER,
            threshold_lower=options.THRESHOLD_LOWER,
            threshold_beta=options.THRESHOLD_BETA,
            thing_ids=classes_of(cfg).thing_ids,
        )

    @torch.no_grad()
    def forward(self, teacher: DenseNetwork, target: list[dict[str, Any]], size: torch.Size) -> PseudoLabels:
        """Labels of all views of the images, under the instance masks that guide them if there are any.

        Args:
            teacher: predicts the clean views.
            target: items of `TargetViewsMapper`.
            size: (H, W) of the labels.
        """
        pseudo = self._labels(teacher, target, size)
        if "guidance_mask_views" not in target[0]:
            return pseudo
        guidance = torch.cat([item["guidance_mask_views"] for item in target]).to(pseudo.labels.device)
        return PseudoLabels(*guide(*pseudo, guidance, self.thing_ids))

    def _labels(self, teacher: DenseNetwork, target: list[dict[str, Any]], size: torch.Size) -> PseudoLabels:
        device = self.class_prior.device
        if self.kind == "predicted":
            labels = torch.cat([item["class_mask_views"] for item in target]).to(device)
            return PseudoLabels(labels, torch.ones(labels.shape, device=device))
        refined = self._refined_views(teacher, target)
        if self.kind == "confidence_share":
            probabilities = torch.cat([resize(views, size) for views in refined])
            labels, share = select_by_share(probabilities, self.confidence_floor)
            return PseudoLabels(labels, mean_over_processes(share).expand(labels.shape))
        chosen = [
            select_pseudo_labels(
                resize(views, size),
                self.class_prior,
                upper=self.threshold_upper,
                lower=self.threshold_lower,
                beta=self.threshold_beta,
            )
            for views in refined
        ]
        return PseudoLabels(*(torch.cat(maps) for maps in zip(*chosen)))

    def _refined_views(self, teacher: DenseNetwork, target: list[dict[str, Any]]) -> list[Tensor]:
        """Per image the teacher's probabilities (V, C, h, w), fused over its views; updates the class prior."""
        views = torch.cat([item["teacher_views"] for item in target])
        probabilities = teacher.predict_strided(views).softmax(dim=1)
        batch_mean = mean_over_processes(probabilities.mean(dim=(0, 2, 3)))
        update_class_prior_(self.class_prior, batch_mean, self.prior_momentum, self.threshold_beta)
        groups = probabilities.split([len(item["teacher_views"]) for item in target])
        return [fuse_views(group, item["thetas"].to(group.device)) for group, item in zip(groups, target)]
