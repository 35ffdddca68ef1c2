"""Meta-architecture of the supervised semantic branch."""

from __future__ import annotations

from typing import Any

from ptseg_d2.losses.semantic import cross_entropy
from ptseg_d2.modeling.network import DenseNetwork, network_options, stack_images

from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, build_sem_seg_head
from torch import Tensor


@META_ARCH_REGISTRY.register()
class SemanticNetwork(DenseNetwork):
    """Backbone and semantic head; logits under the key `sem_seg` (Detectron2 has a `SemanticSegmentor` already)."""

    @configurable
    def __init__(self, **options: Any) -> None:
        """
        Args:
            options: those of `DenseNetwork` but for its output name.
        """
        super().__init__(output_name="sem_seg", **options)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Backbone from MODEL.BACKBONE, head from MODEL.SEM_SEG_HEAD."""
        options = network_options(cfg)
        return {**options, "head": build_sem_seg_head(cfg, options["backbone"].output_shape())}

    def forward(self, batched_inputs: list[dict[str, Any]]) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """Training: {"loss_sem_seg": scalar}. Else Detectron2's list of {"sem_seg": (C, height, width)}."""
        if not self.training:
            return self.output_per_image(batched_inputs)
        logits = self.predict_strided(stack_images(batched_inputs))
        labels = stack_images(batched_inputs, "sem_seg").to(self.device)
        return {"loss_sem_seg": cross_entropy(logits, labels)}
