"""Meta-architecture of the supervised instance branch: pixel embeddings that cluster into objects."""

from __future__ import annotations

from typing import Any

from ptseg_d2.losses.embedding import EmbeddingLoss
from ptseg_d2.modeling.network import DenseNetwork, network_options, stack_images
from ptseg_d2.modeling.unet import UNetDecoder

from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from torch import Tensor


@META_ARCH_REGISTRY.register()
class EmbeddingUNet(DenseNetwork):
    """U-Net on a ResNet encoder with a linear head of E channels (thesis section 7.2)."""

    @configurable
    def __init__(self, *, criterion: EmbeddingLoss, **options: Any) -> None:
        """
        Args:
            criterion: the weighted loss terms.
            options: those of `DenseNetwork` but for its output name.
        """
        super().__init__(output_name="embeddings", **options)
        self.criterion = criterion

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Backbone from MODEL.BACKBONE, everything else from MODEL.EMBEDDING."""
        options = network_options(cfg)
        embedding = cfg.MODEL.EMBEDDING
        decoder = UNetDecoder(
            options["backbone"].output_shape(),
            in_features=embedding.IN_FEATURES,
            channels=embedding.DECODER_CHANNELS,
            out_channels=embedding.DIM,
            norm=embedding.NORM,
            coordinates=embedding.COORDINATES,
            position_gain=embedding.POSITION_GAIN,
        )
        criterion = EmbeddingLoss(
            delta_var=embedding.DELTA_VAR,
            delta_dist=embedding.DELTA_DIST,
            pull=embedding.PULL,
            push=embedding.PUSH,
            reg=embedding.REG,
            object=embedding.OBJECT,
            unlabeled_push=embedding.UNLABELED_PUSH,
            kernel_threshold=embedding.KERNEL_THRESHOLD,
        )
        return {**options, "head": decoder, "criterion": criterion}

    def forward(self, batched_inputs: list[dict[str, Any]]) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """Training: the terms of `EmbeddingLoss`. Else Detectron2's list of {"embeddings": (E, height, width)}."""
        if not self.training:
            return self.output_per_image(batched_inputs)
        instance_ids = stack_images(batched_inputs, "instance_ids").to(self.device)
        return self.loss(stack_images(batched_inputs), instance_ids)

    def loss(self, images: Tensor, instance_ids: Tensor) -> dict[str, Tensor]:
        """Weighted loss terms at the decoder's own resolution, instance ids sampled at pixel centres.

        Args:
            images: (N, 3, H, W) grey levels 0-255.
            instance_ids: (N, H, W) int64, 0 = unlabelled, -1 = ignored.
        """
        embeddings = self.predict_strided(images)
        return self.criterion(embeddings, shrink_labels(instance_ids, embeddings.shape[-2:]))


def shrink_labels(labels: Tensor, size: tuple[int, ...]) -> Tensor:
    """(N, H, W) integer labels -> (N, h, w), the label at each coarse pixel's centre."""
    if tuple(labels.shape[-2:]) == tuple(size):
        return labels
    step_y, step_x = labels.shape[-2] // size[0], labels.shape[-1] // size[1]
    return labels[:, step_y // 2 :: step_y, step_x // 2 :: step_x][:, : size[0], : size[1]]
