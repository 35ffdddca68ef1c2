"""Meta-architecture of semantic self-training (SAC: Araslanov & Roth 2021; thesis section 7.1).

Shapes: G target images, V views each, C classes, h x w the head's resolution, H x W the crop.
"""

from __future__ import annotations

from typing import Any

from ptseg_d2.data.mixing import choose_classes, paste
from ptseg_d2.losses.semantic import focal_confidence_loss
from ptseg_d2.modeling.momentum_teacher import MomentumTeacher
from ptseg_d2.modeling.network import stack_images
from ptseg_d2.modeling.semantic_segmentor import SemanticNetwork
from ptseg_d2.pseudo_labels.semantic import fuse_views, select_pseudo_labels, update_class_prior_
from ptseg_d2.resizing import resize

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.utils.events import get_event_storage
from torch import Tensor


@META_ARCH_REGISTRY.register()
class SemanticMomentumTeacher(MomentumTeacher):
    """Fuses the teacher's predictions over views into pseudo labels and trains the student on them."""

    class_prior: Tensor

    @configurable
    def __init__(
        self,
        *,
        num_classes: int,
        prior_momentum: float,
        threshold_upper: float,
        threshold_lower: float,
        threshold_beta: float,
        focal_power: float,
        class_mix: bool,
        **options: Any,
    ) -> None:
        """
        Args:
            num_classes: C.
            prior_momentum: of the running class prior chi, in [0, 1).
            threshold_upper: zeta, share of the peak confidence a frequent class must reach.
            threshold_lower: lowest threshold.
            threshold_beta: class prior below which the threshold is discounted; also chi's "not seen" value.
            focal_power: exponent of (1 - chi) in the loss.
            class_mix: paste half of a source image's classes on the student's views (DACS).
            options: those of `MomentumTeacher`.
        """
        super().__init__(**options)
        self.prior_momentum = prior_momentum
        self.threshold_upper = threshold_upper
        self.threshold_lower = threshold_lower
        self.threshold_beta = threshold_beta
        self.focal_power = focal_power
        self.class_mix = class_mix
        self.register_buffer("class_prior", torch.full((num_classes,), threshold_beta))

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Student from MODEL.*, the rest from MODEL.SELF_TRAINING."""
        options = cfg.MODEL.SELF_TRAINING
        return {
            "student": SemanticNetwork(cfg),
            "target_weight": options.TARGET_WEIGHT,
            "ramp_iterations": options.RAMP_ITERS,
            "bn_stats": options.BN_STATS,
            "evaluate": options.EVALUATE,
            "num_classes": cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES,
            "prior_momentum": options.PRIOR_MOMENTUM,
            "threshold_upper": options.THRESHOLD_UPPER,
            "threshold_lower": options.THRESHOLD_LOWER,
            "threshold_beta": options.THRESHOLD_BETA,
            "focal_power": options.FOCAL_POWER,
            "class_mix": options.CLASS_MIX,
        }

    def target_losses(self, target: list[dict[str, Any]], source: list[dict[str, Any]]) -> dict[str, Tensor]:
        """{"loss_sem_seg_target": scalar}: focal loss of the student's noisy views on the pseudo labels."""
        images = torch.cat([item["student_views"] for item in target]).to(self.device)
        labels, confidence = self.pseudo_labels(target, images.shape[-2:])
        storage = get_event_storage()
        storage.put_scalar("pseudo/coverage", float((labels != 255).float().mean()))
        if self.class_mix and source:
            images, labels, confidence = self._mix(images, labels, confidence, source)
        logits = self.student.predict_strided(images)
        loss = focal_confidence_loss(logits, labels, confidence, self.class_prior, self.focal_power)
        return {"loss_sem_seg_target": loss}

    @torch.no_grad()
    def pseudo_labels(self, target: list[dict[str, Any]], size: torch.Size) -> tuple[Tensor, Tensor]:
        """Pseudo labels of all views, fused per image at the head's resolution; updates the class prior.

        Returns:
            labels (G V, H, W) int64, 255 where unsure, and the teacher's confidence (G V, H, W) in [0, 1].
        """
        views = torch.cat([item["teacher_views"] for item in target])
        probabilities = self.teacher.predict_strided(views).softmax(dim=1)
        update_class_prior_(self.class_prior, probabilities, self.prior_momentum, self.threshold_beta)
        start = 0
        labels, confidences = [], []
        for item in target:
            group = probabilities[start : start + len(item["teacher_views"])]
            start += len(group)
            refined = fuse_views(group, item["thetas"].to(self.device))
            chosen, confidence = select_pseudo_labels(
                resize(refined, size),
                self.class_prior,
                upper=self.threshold_upper,
                lower=self.threshold_lower,
                beta=self.threshold_beta,
            )
            labels.append(chosen)
            confidences.append(confidence)
        return torch.cat(labels), torch.cat(confidences)

    def _mix(
        self, images: Tensor, labels: Tensor, confidence: Tensor, source: list[dict[str, Any]]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Paste half of the classes of a source image on every view; source pixels have confidence 1."""
        source_images = stack_images(source).to(self.device)
        source_labels = stack_images(source, "sem_seg").to(self.device)
        order = torch.randperm(len(images)) % len(source)
        masks = torch.stack([choose_classes(source_labels[index]) for index in order.tolist()])
        images = paste(masks, source_images[order], images)
        labels = paste(masks, source_labels[order], labels)
        return images, labels, paste(masks, torch.ones_like(confidence), confidence)
