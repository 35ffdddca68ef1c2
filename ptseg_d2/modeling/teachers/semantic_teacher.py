"""Meta-architecture of semantic self-training: [SAC] ([thesis], 7.1), [DACS], [MIC], entropy of [FDA].

Shapes: G target images, V views each, C classes, H x W the crop.
"""

from __future__ import annotations

import copy
from typing import Any

from ptseg_d2.classes.tables import VOID
from ptseg_d2.counting import number_of
from ptseg_d2.data.augmentation import Photometric
from ptseg_d2.data.image_files import read_image
from ptseg_d2.data.mappers import TargetViewsMapper
from ptseg_d2.losses.semantic import charbonnier_entropy, focal_confidence_loss
from ptseg_d2.modeling.hooks import TeacherUpdate
from ptseg_d2.modeling.network import stack_images
from ptseg_d2.modeling.semantic_segmentor import SemanticNetwork
from ptseg_d2.modeling.teachers.class_mix import choose_classes, paste
from ptseg_d2.modeling.teachers.masking import random_blocks
from ptseg_d2.modeling.teachers.momentum_teacher import (
    MomentumTeacher,
    Noise,
    PseudoLabelImage,
    untracked_statistics,
)
from ptseg_d2.modeling.teachers.semantic_labeler import SemanticLabeler
from ptseg_d2.pseudo_labels.rules import PSEUDO_LABEL_REGISTRY, PseudoLabels

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.utils.events import get_event_storage
from torch import Tensor

NO_NOISE = Photometric(jitter=0.0, jitter_probability=0.0, blur=(0.1, 0.1), blur_probability=0.0)
MIX_BLUR = (0.15, 1.15)
"""Range of the Gaussian sigma in pixels on mixed images ([DACS])."""


@META_ARCH_REGISTRY.register()
class SemanticMomentumTeacher(MomentumTeacher):
    """Trains the student on pseudo labels of its noisy, mixed or masked views.

    [thesis], 7.1, says that student and teacher confidence weight the loss; as in the public code of [SAC] it is
    the teacher's alone. That of [DACS] averages parameters only and predicts in training mode; ours averages
    buffers too and predicts in evaluation mode, as for [SAC].
    """

    student: SemanticNetwork

    @configurable
    def __init__(
        self,
        *,
        labeler: SemanticLabeler,
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
            labeler: makes the pseudo labels.
            focal_power: exponent of (1 - chi) in the loss; 0 = all classes count alike.
            class_mix: paste half of a source image's classes on the student's views ([DACS]).
            mix_photometric: noise on the mixed images.
            mask_ratio: share of the hidden blocks in masked views ([MIC]); 0 = no masked views.
            mask_block: their side as a share of the crop's height.
            masked_weight: weight of the loss on masked views.
            entropy_weight: weight of the student's entropy on its views, pasted pixels included ([FDA]).
            entropy_power: eta of `charbonnier_entropy`.
            options: those of `MomentumTeacher`.

        Raises:
            ValueError: views are to be mixed or masked, but there are no labels for them.
        """
        super().__init__(**options)
        if not labeler.rule.makes_labels and (class_mix or mask_ratio > 0):
            raise ValueError(
                "MODEL.SELF_TRAINING.PSEUDO_LABELS without labels leaves nothing to learn on mixed or masked views: "
                "switch CLASS_MIX off and set INPUT.MASK_RATIO to 0"
            )
        self.labeler = labeler
        self.focal_power = focal_power
        self.class_mix = class_mix
        self.mix_photometric = mix_photometric
        self.mask_ratio = mask_ratio
        self.mask_block = mask_block
        self.masked_weight = masked_weight
        self.entropy_weight = entropy_weight
        self.entropy_power = entropy_power

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Student from MODEL.* and MODEL.SELF_TRAINING.STUDENT, the rest from MODEL.SELF_TRAINING and INPUT."""
        options = cfg.MODEL.SELF_TRAINING
        labeler = SemanticLabeler.from_config(cfg)
        return {
            "student": META_ARCH_REGISTRY.get(options.STUDENT)(cfg),
            "target_weight": options.TARGET_WEIGHT,
            "ramp_iterations": options.RAMP_ITERS,
            "bn_stats": options.BN_STATS,
            "evaluate": options.EVALUATE,
            "update": TeacherUpdate(options.EMA_DECAY, options.EMA_INTERVAL, options.EMA_WARMUP),
            "seed": max(cfg.SEED, 0),
            "labeler": labeler,
            "focal_power": options.FOCAL_POWER if labeler.rule.uses_prior else 0.0,
            "class_mix": options.CLASS_MIX,
            "mix_photometric": _mix_photometric(cfg),
            "mask_ratio": cfg.INPUT.MASK_RATIO,
            "mask_block": cfg.INPUT.MASK_BLOCK,
            "masked_weight": options.MASKED_WEIGHT,
            "entropy_weight": options.ENTROPY_WEIGHT,
            "entropy_power": options.ENTROPY_POWER,
        }

    @classmethod
    def needs_masks(cls, cfg: CfgNode) -> str:
        """See `MomentumTeacher`: the rule of the pseudo labels knows."""
        name = cfg.MODEL.SELF_TRAINING.PSEUDO_LABELS
        needs_them = PSEUDO_LABEL_REGISTRY.get(name).needs_masks
        return f"MODEL.SELF_TRAINING.PSEUDO_LABELS = {name!r}" if needs_them else ""

    @property
    def makes_labels(self) -> bool:
        """See `MomentumTeacher`."""
        return self.labeler.rule.makes_labels

    @torch.no_grad()
    def pseudo_label_image(self, item: dict[str, Any], noise: Noise) -> PseudoLabelImage:
        """See `MomentumTeacher`; the class prior takes the image in, but only in a copy of the labeler."""
        height, width = read_image(item["file_name"]).shape[:2]
        whole = TargetViewsMapper(
            crop=(height, width),
            pre_scale=(1.0, 1.0),
            num_views=1,
            zoom=(1.0, 1.0),
            flip=0.0,
            canvas_flip=0.0,
            photometric=NO_NOISE,  # nobody looks at the student's view
        )
        pseudo = copy.deepcopy(self.labeler)(self.teacher, [whole(item)], torch.Size((height, width)))
        return PseudoLabelImage(False, pseudo.labels[0].cpu().numpy())

    def target_losses(self, target: list[dict[str, Any]], source: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Losses of the student's noisy views on the pseudo labels, keys `loss_*_target`."""
        images = torch.cat([item["student_views"] for item in target]).to(self.device)
        if not self.labeler.rule.makes_labels:
            return self._entropy_loss(self.student.predict_strided(images))
        pseudo = self.labeler(self.teacher, target, images.shape[-2:])
        storage = get_event_storage()
        storage.put_scalar("pseudo/coverage", float((pseudo.labels != VOID).float().mean()))
        storage.put_scalar("pseudo/confidence", float(pseudo.confidence.mean()))
        losses: dict[str, Tensor] = {}
        if self.mask_ratio > 0:
            first_views = first_of_each([len(item["student_views"]) for item in target])
            losses["loss_sem_seg_masked_target"] = self._masked_loss(
                images[first_views], PseudoLabels(*(maps[first_views] for maps in pseudo))
            )
        if self.class_mix and source:
            images, pseudo = self.paste_classes(images, pseudo, source)
        logits = self.student.logits_with_auxiliary(images)
        losses["loss_sem_seg_target"] = self._label_loss(logits, pseudo)
        return {**losses, **self._entropy_loss(logits[0])}

    def paste_classes(
        self, images: Tensor, pseudo: PseudoLabels, source: list[dict[str, Any]]
    ) -> tuple[Tensor, PseudoLabels]:
        """Paste half of the classes of a source image on every view, with confidence 1; then add the mixing noise.

        Args:
            images: (N, 3, H, W) uint8 target views.
            pseudo: their labels.
            source: labelled images of the same size.
        """
        source_images = stack_images(source).to(self.device)
        source_labels = stack_images(source, "sem_seg").to(self.device)
        order = torch.randperm(len(images)) % len(source)
        masks = torch.stack([choose_classes(source_labels[index]) for index in order.tolist()])
        images = paste(masks, source_images[order], images)
        if self.mix_photometric is not None:
            images = torch.stack([self.mix_photometric(image) for image in images])
        labels = paste(masks, source_labels[order], pseudo.labels)
        return images, PseudoLabels(labels, paste(masks, torch.ones_like(pseudo.confidence), pseudo.confidence))

    def _masked_loss(self, images: Tensor, pseudo: PseudoLabels) -> Tensor:
        """The student must see through hidden blocks ([MIC]); they leave no trace in the running statistics."""
        size = (images.shape[-2], images.shape[-1])
        block = number_of(self.mask_block, size[0], at_least=1)
        hidden = torch.stack([random_blocks(size, block, self.mask_ratio) for _ in images])
        masked = torch.where(hidden[:, None].to(self.device), self.student.mean_colour, images.float())
        with untracked_statistics(self.student):
            logits = self.student.logits_with_auxiliary(masked)
        return self.masked_weight * self._label_loss(logits, pseudo)

    def _label_loss(self, logits: list[Tensor], pseudo: PseudoLabels) -> Tensor:
        """Loss of the main output plus the weighted ones of the auxiliary outputs."""
        prior = self.labeler.class_prior
        main, *auxiliary = (focal_confidence_loss(output, *pseudo, prior, self.focal_power) for output in logits)
        return main + self.student.auxiliary_weight * sum(auxiliary)

    def _entropy_loss(self, logits: Tensor) -> dict[str, Tensor]:
        if self.entropy_weight == 0:
            return {}
        return {"loss_entropy_target": self.entropy_weight * charbonnier_entropy(logits, self.entropy_power)}


def first_of_each(sizes: list[int]) -> list[int]:
    """Positions of the first members of consecutive groups: [2, 3] -> [0, 2]."""
    return [sum(sizes[:index]) for index in range(len(sizes))]


def _mix_photometric(cfg: CfgNode) -> Photometric | None:
    if cfg.INPUT.CLASS_MIX_JITTER == 0 and cfg.INPUT.CLASS_MIX_BLUR_PROBABILITY == 0:
        return None
    return Photometric(
        jitter=cfg.INPUT.CLASS_MIX_JITTER,
        jitter_probability=0.8,
        hue=cfg.INPUT.CLASS_MIX_JITTER,
        blur=MIX_BLUR,
        blur_probability=cfg.INPUT.CLASS_MIX_BLUR_PROBABILITY,
    )
