"""Meta-architecture of [PanopticUNet]: one U-Net whose two heads give every pixel a class and an embedding.

Shapes: N images, C classes, E embedding dims, H x W pixels, h x w the decoder's resolution.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from ptseg_d2.counting import number_of
from ptseg_d2.inference.clusterers import Clustering
from ptseg_d2.inference.instance_grouping import PanopticOptions, embedding_instances
from ptseg_d2.inference.panoptic_model import find_instances, merge_instances
from ptseg_d2.losses.embedding import EmbeddingLoss
from ptseg_d2.losses.semantic import cross_entropy
from ptseg_d2.modeling.building import build_clustering, build_panoptic_options
from ptseg_d2.modeling.embedding_net import build_criterion, decoder_options, ignore_small, shrink_labels
from ptseg_d2.modeling.network import DenseNetwork, network_options, stack_images
from ptseg_d2.modeling.scse import SCSE
from ptseg_d2.modeling.semantic_segmentor import running_class_weights
from ptseg_d2.modeling.unet import TwoHeadUNetDecoder
from ptseg_d2.resizing import resize

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from torch import Tensor
from torch.nn import functional as F

ATTENTIONS = ("none", "scse")
"""What may follow every decoder level."""


@META_ARCH_REGISTRY.register()
class PanopticUNet(DenseNetwork):
    """Class masks by argmax, instances by clustering the embeddings inside them ([PanopticUNet], 3)."""

    head: TwoHeadUNetDecoder
    class_shares: Tensor

    @configurable
    def __init__(
        self,
        *,
        num_classes: int,
        criterion: EmbeddingLoss,
        clustering: Clustering,
        panoptic: PanopticOptions,
        semantic_weight: float = 1.0,
        class_balance: float = 0.0,
        per_class: bool = False,
        freeze_encoder: bool = False,
        test_size: tuple[int, int] | None = None,
        **options: Any,
    ) -> None:
        """
        Args:
            num_classes: C.
            criterion: terms of the discriminative loss.
            clustering: of the embeddings inside a class mask.
            panoptic: thing classes, and sizes for merging; labelled instances below its smallest are ignored.
            semantic_weight: of the cross entropy.
            class_balance: exponent of `balanced_class_weights`, from running class shares; 0 = off.
            per_class: each thing class has a discriminative loss of its own: its instances push each other, not those
                of other classes, which another mask keeps apart ([DiscLoss]). The terms are then means over
                the pairs of an image and a thing class in it.
            freeze_encoder: the backbone is not trained, and its batch norms keep their statistics.
            test_size: (height, width) to which `predict` and evaluation bring images; None = their own.
            options: those of `DenseNetwork` but for its output name; the head is a `TwoHeadUNetDecoder`.
        """
        super().__init__(output_name="sem_seg", **options)
        self.criterion = criterion
        self.clustering = clustering
        self.panoptic = panoptic
        self.semantic_weight = semantic_weight
        self.class_balance = class_balance
        self.per_class = per_class
        self.freeze_encoder = freeze_encoder
        self.test_size = test_size
        self.auxiliary_weight = 0.0  # as a student of `SemanticMomentumTeacher`: no auxiliary outputs
        self.register_buffer("class_shares", torch.full((num_classes,), 1 / num_classes))
        if freeze_encoder:
            self.backbone.requires_grad_(False)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Backbone from MODEL.BACKBONE, decoder and losses from MODEL.EMBEDDING, the rest from MODEL.PANOPTIC_UNET."""
        options, unet = network_options(cfg), cfg.MODEL.PANOPTIC_UNET
        embedding = cfg.MODEL.EMBEDDING
        decoder = TwoHeadUNetDecoder(
            options["backbone"].output_shape(),
            num_classes=cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES,
            **decoder_options(embedding),
            head_conv=unet.EMBEDDING_CONV,
            attention=_attention(unet),
        )
        return {
            **options,
            "head": decoder,
            "num_classes": cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES,
            "criterion": build_criterion(embedding),
            "clustering": build_clustering(cfg),
            "panoptic": build_panoptic_options(cfg),
            "semantic_weight": unet.SEMANTIC_WEIGHT,
            "class_balance": cfg.MODEL.SEM_SEG_HEAD.CLASS_BALANCE,
            "per_class": unet.PER_CLASS,
            "freeze_encoder": unet.FREEZE_ENCODER,
            "test_size": _size(cfg.INPUT.TEST_SIZE),
        }

    def train(self, mode: bool = True) -> PanopticUNet:
        """A frozen encoder stays in evaluation mode: its batch norms neither use nor move batch statistics."""
        super().train(mode)
        if self.freeze_encoder:
            self.backbone.eval()
        return self

    def all_maps(self, features: dict[str, Tensor]) -> list[Tensor]:
        """See `DenseNetwork.all_maps`; logits and embeddings."""
        return self.head.both(features)

    def forward(self, batched_inputs: list[dict[str, Any]]) -> dict[str, Tensor] | list[dict[str, Any]]:
        """Training: `losses`. Else per image `sem_seg` (C, height, width) logits and `panoptic_seg`."""
        return self.losses(batched_inputs) if self.training else self.output_per_image(batched_inputs)

    def losses(self, batched_inputs: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Weighted terms of L = CE + L_inst ([PanopticUNet], Eq. 3.6), in training and in evaluation mode alike.

        Returns:
            loss_sem_seg and the terms of `EmbeddingLoss`, at the decoder's resolution with labels sampled at pixel
            centres; the cross entropy at the labels' own.
        """
        sem_seg = stack_images(batched_inputs, "sem_seg").to(self.device)
        instance_ids = stack_images(batched_inputs, "instance_ids").to(self.device)
        logits, embeddings = self._dense_maps(stack_images(batched_inputs), self.head.both)
        shares = self.class_shares if self.training else self.class_shares.clone()
        weights = running_class_weights(shares, sem_seg, self.class_balance)
        instance_ids = ignore_small(instance_ids, number_of(self.panoptic.min_thing_share, sem_seg[0].numel()))
        size = embeddings.shape[-2:]
        ids, classes = shrink_labels(instance_ids, size), shrink_labels(sem_seg, size)
        return {
            "loss_sem_seg": self.semantic_weight * cross_entropy(logits, sem_seg, weights),
            **self.embedding_losses(embeddings, ids, classes),
        }

    def embedding_losses(self, embeddings: Tensor, instance_ids: Tensor, sem_seg: Tensor) -> dict[str, Tensor]:
        """Terms of `EmbeddingLoss`, of all instances together or of each thing class by itself.

        Args:
            embeddings: (N, E, h, w).
            instance_ids: (N, h, w) int64, 0 = none, -1 = ignored.
            sem_seg: (N, h, w) int64 classes.
        """
        instance_ids = instance_ids.masked_fill(instance_ids == 0, -1)
        if self.per_class:
            things = [sem_seg == thing for thing in self.panoptic.thing_ids]
            pairs = [
                (n, mask[n]) for mask in things for n in range(len(sem_seg)) if (mask & (instance_ids > 0))[n].any()
            ]
            if pairs:
                images = torch.tensor([n for n, _ in pairs], device=embeddings.device)
                others = torch.stack([~mask for _, mask in pairs]) & (instance_ids[images] > 0)
                embeddings, instance_ids = embeddings[images], instance_ids[images].masked_fill(others, -1)
        losses: dict[str, Tensor] = self.criterion(embeddings, instance_ids)
        return losses

    def predict(self, images: Tensor) -> dict[str, Tensor]:
        """Dense maps of images of one size, which the network sees at `test_size`.

        Args:
            images: (N, 3, H, W), RGB grey levels 0-255, any numeric dtype.

        Returns:
            "sem_seg" (N, C, H, W) logits and "embeddings" (N, E, H, W), float32, resized to the images.
        """
        maps = self._dense_maps(self._at_test_size(images), self.head.both)
        logits, embeddings = (resize(dense, images.shape[-2:]) for dense in maps)
        return {"sem_seg": logits, "embeddings": embeddings}

    def logits_with_auxiliary(self, images: Tensor) -> list[Tensor]:
        """As `predict_strided`: [logits (N, C, h, w)]; there are no auxiliary outputs."""
        return [self.predict_strided(images)]

    def output_per_image(self, batched_inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Detectron2's test-time protocol: each image on its own, at its `height` x `width`."""
        return [self._predict_one(item) for item in batched_inputs]

    @torch.no_grad()
    def _predict_one(self, item: dict[str, Any]) -> dict[str, Any]:
        image: Tensor = item["image"]
        size = (item.get("height", image.shape[-2]), item.get("width", image.shape[-1]))
        maps = self._dense_maps(self._at_test_size(image[None]), self.head.both)
        logits, embeddings = (resize(dense, size)[0] for dense in maps)
        return {"sem_seg": logits, "panoptic_seg": self.panoptic_seg(logits, embeddings)}

    def panoptic_seg(self, logits: Tensor, embeddings: Tensor) -> tuple[Tensor, list[dict[str, Any]]]:
        """Class masks, instances inside them, one map ([PanopticUNet], section 3.3).

        Args:
            logits: (C, H, W).
            embeddings: (E, H, W).

        Returns:
            see `merge_panoptic`.
        """

        def grouping(image: Tensor, sem_seg: Tensor) -> tuple[Tensor, dict[int, float]]:
            return embedding_instances(image, sem_seg, self.panoptic.thing_ids, self.panoptic, self.clustering)

        return merge_instances(*find_instances(embeddings, logits, grouping), self.panoptic)

    def _at_test_size(self, images: Tensor) -> Tensor:
        if self.test_size is None or tuple(images.shape[-2:]) == self.test_size:
            return images
        return F.interpolate(
            images.to(self.device).float(), self.test_size, mode="bilinear", align_corners=False, antialias=True
        )


def _attention(unet: CfgNode) -> Any:
    """Width -> attention module, or None; see `ATTENTIONS`."""
    if unet.ATTENTION not in ATTENTIONS:
        choices = " or ".join(map(repr, ATTENTIONS))
        raise ValueError(f"MODEL.PANOPTIC_UNET.ATTENTION = {unet.ATTENTION!r}; expected {choices}")
    if unet.ATTENTION == "none":
        return None
    return partial(SCSE, reduction=unet.SCSE_REDUCTION, combine=unet.SCSE_COMBINE)


def _size(value: Any) -> tuple[int, int] | None:
    """(height, width) of INPUT.TEST_SIZE; None for ()."""
    if len(value) not in (0, 2):
        raise ValueError(
            f"INPUT.TEST_SIZE = {tuple(value)}; expected (height, width) in pixels, or () for each own size"
        )
    return (int(value[0]), int(value[1])) if value else None
