"""What the student learns on target images: the labels that a rule makes of the teacher's views or of fixed masks.

Shapes: G target images, V views each, C classes, h x w the head's resolution, H x W the crop.
"""

from __future__ import annotations

from typing import Any

from ptseg_d2.data.datasets import classes_of
from ptseg_d2.inference.protocols import StridedPredictor
from ptseg_d2.modeling.distributed import mean_over_processes
from ptseg_d2.pseudo_labels.guidance import guide
from ptseg_d2.pseudo_labels.rules import (
    PSEUDO_LABEL_REGISTRY,
    Evidence,
    PseudoLabelRule,
    PseudoLabels,
    RuleOptions,
)
from ptseg_d2.pseudo_labels.semantic import fuse_views, update_class_prior_

import torch
from detectron2.config import CfgNode
from torch import Tensor, nn


class SemanticLabeler(nn.Module):
    """Makes pseudo labels; its class prior is state that a checkpoint keeps."""

    class_prior: Tensor

    def __init__(
        self,
        *,
        rule: PseudoLabelRule,
        num_classes: int,
        prior_momentum: float,
        unseen_prior: float,
        thing_ids: tuple[int, ...] = (),
    ) -> None:
        """
        Args:
            rule: what becomes a label.
            num_classes: C.
            prior_momentum: of the running class prior chi, in [0, 1).
            unseen_prior: chi's value for "not seen".
            thing_ids: classes that guidance takes away where it found no instance.
        """
        super().__init__()
        self.rule = rule
        self.prior_momentum = prior_momentum
        self.unseen_prior = unseen_prior
        self.thing_ids = thing_ids
        self.register_buffer("class_prior", torch.full((num_classes,), unseen_prior))

    @classmethod
    def from_config(cls, cfg: CfgNode) -> SemanticLabeler:
        """Rule and options from MODEL.SELF_TRAINING.

        Raises:
            ValueError: no such rule.
        """
        options = cfg.MODEL.SELF_TRAINING
        rule_options = RuleOptions(
            confidence_floor=options.CONFIDENCE_FLOOR,
            threshold_upper=options.THRESHOLD_UPPER,
            threshold_lower=options.THRESHOLD_LOWER,
            threshold_beta=options.THRESHOLD_BETA,
        )
        return cls(
            rule=PSEUDO_LABEL_REGISTRY.get(options.PSEUDO_LABELS)(rule_options),
            num_classes=cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES,
            prior_momentum=options.PRIOR_MOMENTUM,
            unseen_prior=options.THRESHOLD_BETA,
            thing_ids=classes_of(cfg).thing_ids,
        )

    @torch.no_grad()
    def forward(self, teacher: StridedPredictor, target: list[dict[str, Any]], size: torch.Size) -> PseudoLabels:
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

    def _labels(self, teacher: StridedPredictor, target: list[dict[str, Any]], size: torch.Size) -> PseudoLabels:
        device = self.class_prior.device
        masks = [item["class_mask_views"] for item in target] if self.rule.needs_masks else []
        evidence = Evidence(
            probabilities=self._refined_views(teacher, target) if self.rule.asks_teacher else [],
            class_prior=self.class_prior,  # as the views have just changed it
            class_masks=torch.cat(masks).to(device) if masks else None,
            size=size,
            mean_over_processes=mean_over_processes,
        )
        return self.rule(evidence)

    def _refined_views(self, teacher: StridedPredictor, target: list[dict[str, Any]]) -> list[Tensor]:
        """Per image the teacher's probabilities (V, C, h, w), fused over its views; updates the class prior."""
        views = torch.cat([item["teacher_views"] for item in target])
        probabilities = teacher.predict_strided(views).softmax(dim=1)
        batch_mean = mean_over_processes(probabilities.mean(dim=(0, 2, 3)))
        update_class_prior_(self.class_prior, batch_mean, self.prior_momentum, self.unseen_prior)
        groups = probabilities.split([len(item["teacher_views"]) for item in target])
        return [fuse_views(group, item["thetas"].to(group.device)) for group, item in zip(groups, target)]
