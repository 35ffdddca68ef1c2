"""Meta-architecture of semantic self-training: SAC (Araslanov & Roth 2021; thesis 7.1), DACS, MIC, FDA's entropy.

Shapes: G target images, V views each, C classes, h x w the head's resolution, H x W the crop.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ptseg_d2.data.augmentation import Photometric
from ptseg_d2.data.masking import random_blocks
from ptseg_d2.data.mixing import choose_classes, paste
from ptseg_d2.losses.semantic import charbonnier_entropy, focal_confidence_loss
from ptseg_d2.modeling.distributed import mean_over_processes
from ptseg_d2.modeling.momentum_teacher import MomentumTeacher, check_choice, untracked_statistics
from ptseg_d2.modeling.network import stack_images
from ptseg_d2.modeling.semantic_segmentor import SemanticNetwork
from ptseg_d2.pseudo_labels.semantic import fuse_views, select_by_share, select_pseudo_labels, update_class_prior_
from ptseg_d2.resizing import resize

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.utils.events import get_event_storage
from torch import Tensor

MIX_BLUR = (0.15, 1.15)
"""Range of the Gaussian sigma in pixels on mixed images (DACS)."""


class PseudoLabels(NamedTuple):
    """What the student learns on the views of all target images.

    Attributes:
        labels: (G V, H, W) int64, 255 where unsure.
        confidence: (G V, H, W) float in [0, 1], weight of each pixel.
    """

    labels: Tensor
    confidence: Tensor


@META_ARCH_REGISTRY.register()
class SemanticMomentumTeacher(MomentumTeacher):
    """Fuses the teacher's predictions over views into pseudo labels and trains the student on them.

    The thesis (Eq. 7.3) says that student and teacher confidence weight the loss; as in the public code of SAC it is
    the teacher's alone. DACS' teacher averages parameters only and predicts in training mode; ours averages
    buffers too and predicts in evaluation mode, as for SAC.
    """

    student: SemanticNetwork
    class_prior: Tensor

    @configurable
    def __init__(
        self,
        *,
        num_classes: int,
        pseudo_labels: str,
        confidence_floor: float,
        prior_momentum: float,
        threshold_upper: float,
        threshold_lower: float,
        threshold_beta: float,
        focal_power: float,
        class_mix: bool,
        mix_photometric: Photometric | None,
        mask_ratio: float,
        mask_block: float,
        masked_weight: float,
        entropy_weight: float,
        entropy_power: float,
        **options: Any,
    ) -> None:
        """
        Args:
            num_classes: C.
            pseudo_labels: "class_thresholds" (SAC), "confidence_share" (DACS), "predicted" (masks that an earlier
                stage wrote) or "none".
            confidence_floor: probability of a confident pixel in DACS' share.
            prior_momentum: of the running class prior chi, in [0, 1).
            threshold_upper: zeta, share of the peak confidence a frequent class must reach.
            threshold_lower: lowest threshold.
            threshold_beta: class prior below which the threshold is discounted; also chi's "not seen" value.
            focal_power: exponent of (1 - chi) in SAC's loss.
            class_mix: paste half of a source image's classes on the student's views (DACS).
            mix_photometric: noise on the mixed images.
            mask_ratio: share of the hidden blocks in masked views (MIC); 0 = no masked views.
            mask_block: their side as a share of the crop's height.
            masked_weight: weight of the loss on masked views.
            entropy_weight: weight of the student's entropy on its views (FDA).
            entropy_power: eta of `charbonnier_entropy`.
            options: those of `MomentumTeacher`.
        """
        super().__init__(**options)
        check_choice(
            "MODEL.SELF_TRAINING.PSEUDO_LABELS",
            pseudo_labels,
            ("class_thresholds", "confidence_share", "predicted", "none"),
        )
        self.label_source = pseudo_labels
        self.confidence_floor = confidence_floor
        self.prior_momentum = prior_momentum
        self.threshold_upper = threshold_upper
        self.threshold_lower = threshold_lower
        self.threshold_beta = threshold_beta
        self.focal_power = focal_power if pseudo_labels == "class_thresholds" else 0.0
        self.class_mix = class_mix
        self.mix_photometric = mix_photometric
        self.mask_ratio = mask_ratio
        self.mask_block = mask_block
        self.masked_weight = masked_weight
        self.entropy_weight = entropy_weight
        self.entropy_power = entropy_power
        self.register_buffer("class_prior", torch.full((num_classes,), threshold_beta))

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Student from MODEL.*, the rest from MODEL.SELF_TRAINING and INPUT."""
        options = cfg.MODEL.SELF_TRAINING
        return {
            "student": SemanticNetwork(cfg),
            "target_weight": options.TARGET_WEIGHT,
            "ramp_iterations": options.RAMP_ITERS,
            "bn_stats": options.BN_STATS,
            "evaluate": options.EVALUATE,
            "num_classes": cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES,
            "pseudo_labels": options.PSEUDO_LABELS,
            "confidence_floor": options.CONFIDENCE_FLOOR,
            "prior_momentum": options.PRIOR_MOMENTUM,
            "threshold_upper": options.THRESHOLD_UPPER,
            "threshold_lower": options.THRESHOLD_LOWER,
            "threshold_beta": options.THRESHOLD_BETA,
            "focal_power": options.FOCAL_POWER,
            "class_mix": options.CLASS_MIX,
            "mix_photometric": _mix_photometric(cfg),
            "mask_ratio": cfg.INPUT.MASK_RATIO,
            "mask_block": cfg.INPUT.MASK_BLOCK,
            "masked_weight": options.MASKED_WEIGHT,
            "entropy_weight": options.ENTROPY_WEIGHT,
            "entropy_power": options.ENTROPY_POWER,
        }

    def target_losses(self, target: list[dict[str, Any]], source: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Losses of the student's noisy views on the pseudo labels, keys `loss_*_target`."""
        images = torch.cat([item["student_views"] for item in target]).to(self.device)
        if self.label_source == "none":
            return self._entropy_loss(self.student.predict_strided(images))
        pseudo = self.pseudo_labels(target, images.shape[-2:])
        get_event_storage().put_scalar("pseudo/coverage", float((pseudo.labels != 255).float().mean()))
        losses: dict[str, Tensor] = {}
        if self.mask_ratio > 0:
            losses.update(self._masked_loss(target, images, pseudo))
        if self.class_mix and source:
            images, pseudo = self._mix(images, pseudo, source)
        logits = self.student.logits_with_auxiliary(images)
        losses["loss_sem_seg_target"] = self._label_loss(logits, pseudo)
        return {**losses, **self._entropy_loss(logits[0])}

    @torch.no_grad()
    def pseudo_labels(self, target: list[dict[str, Any]], size: torch.Size) -> PseudoLabels:
        """Pseudo labels of all views at H x W; those of the teacher update the class prior."""
        if self.label_source == "predicted":
            labels = torch.cat([item["predicted_views"] for item in target]).to(self.device)
            return PseudoLabels(labels, torch.ones(labels.shape, device=self.device))
        refined = self._refined_views(target)
        if self.label_source == "confidence_share":
            return PseudoLabels(*select_by_share(torch.cat([resize(x, size) for x in refined]), self.confidence_floor))
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

    def _refined_views(self, target: list[dict[str, Any]]) -> list[Tensor]:
        """Per image the teacher's probabilities (V, C, h, w), fused over its views."""
        views = torch.cat([item["teacher_views"] for item in target])
        probabilities = self.teacher.predict_strided(views).softmax(dim=1)
        batch_mean = mean_over_processes(probabilities.mean(dim=(0, 2, 3)))
        update_class_prior_(self.class_prior, batch_mean, self.prior_momentum, self.threshold_beta)
        groups = probabilities.split([len(item["teacher_views"]) for item in target])
        return [fuse_views(group, item["thetas"].to(self.device)) for group, item in zip(groups, target)]

    def _label_loss(self, logits: list[Tensor], pseudo: PseudoLabels) -> Tensor:
        """Loss of the main output plus the weighted ones of the auxiliary outputs."""
        main, *auxiliary = (focal_confidence_loss(x, *pseudo, self.class_prior, self.focal_power) for x in logits)
        return main + self.student.auxiliary_weight * sum(auxiliary)

    def _entropy_loss(self, logits: Tensor) -> dict[str, Tensor]:
        if self.entropy_weight == 0:
            return {}
        return {"loss_entropy_target": self.entropy_weight * charbonnier_entropy(logits, self.entropy_power)}

    def _masked_loss(self, target: list[dict[str, Any]], images: Tensor, pseudo: PseudoLabels) -> dict[str, Tensor]:
        """The student must see through hidden blocks in the first view of each image (MIC)."""
        starts = [0]
        for item in target[:-1]:
            starts.append(starts[-1] + len(item["student_views"]))
        height, width = images.shape[-2:]
        block = max(1, round(self.mask_block * height))
        hidden = torch.stack([random_blocks((height, width), block, self.mask_ratio) for _ in starts])
        masked = torch.where(hidden[:, None].to(self.device), self.student.mean_colour, images[starts].float())
        with untracked_statistics(self.student):
            logits = self.student.logits_with_auxiliary(masked)
        first = PseudoLabels(pseudo.labels[starts], pseudo.confidence[starts])
        return {"loss_sem_seg_masked_target": self.masked_weight * self._label_loss(logits, first)}

    def _mix(self, images: Tensor, pseudo: PseudoLabels, source: list[dict[str, Any]]) -> tuple[Tensor, PseudoLabels]:
        """Paste half of the classes of a source image on every view; source pixels have confidence 1."""
        source_images = stack_images(source).to(self.device)
        source_labels = stack_images(source, "sem_seg").to(self.device)
        order = torch.randperm(len(images)) % len(source)
        masks = torch.stack([choose_classes(source_labels[index]) for index in order.tolist()])
        images = paste(masks, source_images[order], images)
        if self.mix_photometric is not None:
            images = torch.stack([self.mix_photometric(image) for image in images])
        labels = paste(masks, source_labels[order], pseudo.labels)
        return images, PseudoLabels(labels, paste(masks, torch.ones_like(pseudo.confidence), pseudo.confidence))


def _mix_photometric(cfg: CfgNode) -> Photometric | None:
    if cfg.INPUT.MIX_JITTER == 0 and cfg.INPUT.MIX_BLUR_PROBABILITY == 0:
        return None
    return Photometric(
        jitter=cfg.INPUT.MIX_JITTER,
        jitter_probability=0.8,
        blur=MIX_BLUR,
        blur_probability=cfg.INPUT.MIX_BLUR_PROBABILITY,
    )
