"""Meta-architecture of the supervised instance branch: pixel embeddings that cluster into objects."""

from __future__ import annotations

from typing import Any

from ptseg_d2.counting import number_of
from ptseg_d2.losses.embedding import EmbeddingLoss
from ptseg_d2.modeling.hooks import EpsilonDecayHook
from ptseg_d2.modeling.network import DenseNetwork, network_options, stack_images
from ptseg_d2.modeling.unet import UNetDecoder

import torch
from detectron2.config import CfgNode, configurable
from detectron2.engine import HookBase
from detectron2.modeling import META_ARCH_REGISTRY
from torch import Tensor


@META_ARCH_REGISTRY.register()
class EmbeddingUNet(DenseNetwork):
    """U-Net on a ResNet encoder with a linear head of E channels ([thesis], section 7.2)."""

    @configurable
    def __init__(
        self,
        *,
        criterion: EmbeddingLoss,
        min_share: float = 0.0,
        epsilon: float = 0.0,
        epsilon_decay: float = 1000.0,
        **options: Any,
    ) -> None:
        """
        Args:
            criterion: the weighted loss terms.
            min_share: labelled instances of a smaller share of the image are ignored: no prediction is as small.
            epsilon, epsilon_decay: of the margins, see `EpsilonDecayHook`.
            options: those of `DenseNetwork` but for its output name.
        """
        super().__init__(output_name="embeddings", **options)
        self.criterion = criterion
        self.min_share = min_share
        self.epsilon = epsilon
        self.epsilon_decay = epsilon_decay

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Backbone from MODEL.BACKBONE, the smallest instance from INSTANCE.MIN_AREA, all else from MODEL.EMBEDDING."""
        options = network_options(cfg)
        embedding = cfg.MODEL.EMBEDDING
        decoder = UNetDecoder(options["backbone"].output_shape(), **decoder_options(embedding))
        return {
            **options,
            "head": decoder,
            "criterion": build_criterion(embedding),
            "min_share": cfg.INSTANCE.MIN_AREA,
            "epsilon": embedding.EPSILON,
            "epsilon_decay": embedding.EPSILON_DECAY,
        }

    def build_hooks(self) -> list[HookBase]:
        """See `DenseNetwork`: the margins narrow or widen."""
        return [EpsilonDecayHook(self.criterion, self.epsilon, self.epsilon_decay)]

    def forward(self, batched_inputs: list[dict[str, Any]]) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """Training: the terms of `EmbeddingLoss`. Else Detectron2's list of {"embeddings": (E, height, width)}."""
        if not self.training:
            return self.output_per_image(batched_inputs)
        instance_ids = stack_images(batched_inputs, "instance_ids").to(self.device)
        min_area = number_of(self.min_share, instance_ids[0].numel())
        return self.loss(stack_images(batched_inputs), ignore_small(instance_ids, min_area))

    def loss(self, images: Tensor, instance_ids: Tensor) -> dict[str, Tensor]:
        """Weighted loss terms at the decoder's own resolution, instance ids sampled at pixel centres.

        Args:
            images: (N, 3, H, W) grey levels 0-255.
            instance_ids: (N, H, W) int64, 0 = unlabelled, -1 = ignored.
        """
        embeddings = self.predict_strided(images)
        return self.criterion(embeddings, shrink_labels(instance_ids, embeddings.shape[-2:]))


def build_criterion(embedding: CfgNode) -> EmbeddingLoss:
    """The loss of MODEL.EMBEDDING."""
    return EmbeddingLoss(
        delta_var=embedding.DELTA_VAR,
        delta_dist=embedding.DELTA_DIST,
        pull=embedding.PULL,
        push=embedding.PUSH,
        reg=embedding.REG,
        object=embedding.OBJECT,
        unlabeled_push=embedding.UNLABELED_PUSH,
    )


def decoder_options(embedding: CfgNode) -> dict[str, Any]:
    """The options of `UNetDecoder` that MODEL.EMBEDDING holds."""
    return {
        "in_features": embedding.IN_FEATURES,
        "channels": embedding.DECODER_CHANNELS,
        "out_channels": embedding.DIM,
        "norm": embedding.NORM,
        "coordinates": embedding.COORDINATES,
        "position_gain": embedding.POSITION_GAIN,
        "position_height": embedding.POSITION_HEIGHT,
    }


def ignore_small(instance_ids: Tensor, min_area: int) -> Tensor:
    """Set instances with fewer than min_area pixels to -1, in each image of (N, H, W) int64 ids for itself."""
    num_images, highest = len(instance_ids), int(instance_ids.max()) + 1
    offsets = highest * torch.arange(num_images, device=instance_ids.device)[:, None, None]
    keys = (instance_ids.clamp(min=0) + offsets).flatten()
    areas = keys.bincount(minlength=highest * num_images)
    small = (areas[keys] < min_area).view(instance_ids.shape)
    return instance_ids.masked_fill(small & (instance_ids > 0), -1)


def shrink_labels(labels: Tensor, size: tuple[int, ...]) -> Tensor:
    """(N, H, W) integer labels -> (N, h, w), the label at each coarse pixel's centre."""
    if tuple(labels.shape[-2:]) == tuple(size):
        return labels
    step_y, step_x = labels.shape[-2] // size[0], labels.shape[-1] // size[1]
    return labels[:, step_y // 2 :: step_y, step_x // 2 :: step_x][:, : size[0], : size[1]]
