"""Meta-architecture of the supervised semantic branch."""

from __future__ import annotations

from typing import Any

from ptseg_d2.losses.semantic import balanced_class_weights, cross_entropy, update_class_shares_
from ptseg_d2.modeling.distributed import mean_over_processes
from ptseg_d2.modeling.network import DenseNetwork, network_options, stack_images
from ptseg_d2.modeling.semantic_heads import SemanticHead

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, build_sem_seg_head
from torch import Tensor


@META_ARCH_REGISTRY.register()
class SemanticNetwork(DenseNetwork):
    """Backbone and semantic head; logits under the key `sem_seg` (Detectron2 has a `SemanticSegmentor` already)."""

    head: SemanticHead
    class_shares: Tensor

    @configurable
    def __init__(self, *, num_classes: int, class_balance: float, auxiliary_weight: float, **options: Any) -> None:
        """
        Args:
            num_classes: C.
            class_balance: exponent of `balanced_class_weights`, from running class shares; 0 = off.
            auxiliary_weight: weight of the losses on the head's auxiliary outputs.
            options: those of `DenseNetwork` but for its output name; the head is a `SemanticHead`.
        """
        super().__init__(output_name="sem_seg", **options)
        self.class_balance = class_balance
        self.auxiliary_weight = auxiliary_weight
        self.register_buffer("class_shares", torch.full((num_classes,), 1 / num_classes))

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Backbone from MODEL.BACKBONE, head from MODEL.SEM_SEG_HEAD."""
        options = network_options(cfg)
        return {
            **options,
            "head": build_sem_seg_head(cfg, options["backbone"].output_shape()),
            "num_classes": cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES,
            "class_balance": cfg.MODEL.SEM_SEG_HEAD.CLASS_BALANCE,
            "auxiliary_weight": cfg.MODEL.SEM_SEG_HEAD.AUXILIARY_WEIGHT,
        }

    def forward(self, batched_inputs: list[dict[str, Any]]) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """Training: {"loss_sem_seg": scalar} and, where the head has auxiliary outputs, "loss_sem_seg_auxiliary".

        Else Detectron2's list of {"sem_seg": (C, height, width)}.
        """
        if not self.training:
            return self.output_per_image(batched_inputs)
        labels = stack_images(batched_inputs, "sem_seg").to(self.device)
        weights = running_class_weights(self.class_shares, labels, self.class_balance)
        logits = self.logits_with_auxiliary(stack_images(batched_inputs))
        main, *auxiliary = (cross_entropy(output, labels, weights) for output in logits)
        losses = {"loss_sem_seg": main}
        if auxiliary:
            losses["loss_sem_seg_auxiliary"] = self.auxiliary_weight * torch.stack(auxiliary).sum()
        return losses

    def logits_with_auxiliary(self, images: Tensor) -> list[Tensor]:
        """As `predict_strided`, followed by the auxiliary outputs of the head, from one pass of the backbone.

        Args:
            images: (N, 3, H, W).

        Returns:
            [main, *auxiliary], each (N, C, h, w) float32 with its own h x w.
        """
        return self._dense_maps(images, lambda features: [self.head(features), *self.head.auxiliary_logits(features)])


def running_class_weights(class_shares: Tensor, sem_seg: Tensor, exponent: float) -> Tensor | None:
    """`balanced_class_weights` from the running shares, which move towards those of a batch, in place.

    Args:
        class_shares: (C,) float, changed, and equal in all processes.
        sem_seg: (N, H, W) int64, train ids or 255.
        exponent: 0 = no weights.
    """
    if exponent == 0:
        return None
    update_class_shares_(class_shares, sem_seg)
    class_shares.copy_(mean_over_processes(class_shares))
    return balanced_class_weights(class_shares, exponent)
