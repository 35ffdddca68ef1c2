"""Meta-architecture of embedding-interaction based panoptic segmentation ([EINet])."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any

from ptseg_d2.classes.tables import VOID
from ptseg_d2.data.datasets import classes_of
from ptseg_d2.errors import check_choice
from ptseg_d2.inference.center_grouping import SCORES, CenterOptions, panoptic_from_centers
from ptseg_d2.losses.centers import center_targets, heatmap_focal, heatmap_mse, offset_l1
from ptseg_d2.losses.semantic import cross_entropy
from ptseg_d2.modeling.einet.decoders import RARE_LOGIT, EINetHead, EINetMaps, InstanceDecoder
from ptseg_d2.modeling.einet.embedding_interaction import EmbeddingInteraction
from ptseg_d2.modeling.einet.semantic_dictionary import SemanticDictionary
from ptseg_d2.modeling.embedding_net import shrink_labels
from ptseg_d2.modeling.network import network_options, stack_images
from ptseg_d2.modeling.semantic_heads import DeepLabV3PlusDecoder
from ptseg_d2.modeling.semantic_segmentor import SemanticNetwork, running_class_weights
from ptseg_d2.resizing import resize

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import META_ARCH_REGISTRY
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class CenterLoss:
    """How the instance branch learns.

    Attributes:
        kind: "mse" or "focal", the loss of the heatmaps.
        center_weight: weight of it.
        offset_weight: weight of the L1 loss of the offsets, which are in pixels of the image.
        fixed_sigma: standard deviation of all Gaussians in pixels of the image; 0 = from the size of the instance.
        min_overlap: of `gaussian_radius`, where the size decides.
    """

    kind: str
    center_weight: float
    offset_weight: float
    fixed_sigma: float
    min_overlap: float


@META_ARCH_REGISTRY.register()
class EINet(SemanticNetwork):
    """A semantic network that also predicts class-aware centre heatmaps and offsets; bottom-up instances."""

    head: EINetHead

    @configurable
    def __init__(self, *, center_loss: CenterLoss, center_options: CenterOptions, **options: Any) -> None:
        """
        Args:
            center_loss: of the instance branch.
            center_options: of the panoptic result; its thing classes are the channels of the heatmaps.
            options: those of `SemanticNetwork`; the head is an `EINetHead`.

        Raises:
            ValueError: an unknown loss or score, or an even neighbourhood.
        """
        super().__init__(**options)
        check_choice("MODEL.EINET.CENTER_LOSS", center_loss.kind, ("mse", "focal"))
        check_choice("EVAL.CENTERS.SCORE", center_options.score, SCORES)
        if center_options.kernel % 2 == 0 or center_options.kernel < 1:
            raise ValueError(f"EVAL.CENTERS.NMS_KERNEL = {center_options.kernel}; expected an odd number of pixels")
        self.center_loss = center_loss
        self.center_options = center_options

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Backbone from MODEL.BACKBONE, semantic branch from MODEL.SEM_SEG_HEAD, all else from MODEL.EINET.

        Raises:
            ValueError: the radius is fixed to none.
        """
        options = network_options(cfg)
        einet, centers = cfg.MODEL.EINET, cfg.EVAL.CENTERS
        if not einet.ADAPTIVE_RADIUS and einet.FIXED_SIGMA <= 0:
            raise ValueError(f"MODEL.EINET.FIXED_SIGMA = {einet.FIXED_SIGMA}; expected a number above 0, in pixels")
        thing_ids = classes_of(cfg).thing_ids
        return {
            **options,
            "head": _build_head(cfg, options["backbone"].output_shape(), len(thing_ids)),
            "num_classes": cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES,
            "class_balance": cfg.MODEL.SEM_SEG_HEAD.CLASS_BALANCE,
            "auxiliary_weight": cfg.MODEL.SEM_SEG_HEAD.AUXILIARY_WEIGHT,
            "center_loss": CenterLoss(
                kind=einet.CENTER_LOSS,
                center_weight=einet.CENTER_WEIGHT,
                offset_weight=einet.OFFSET_WEIGHT,
                fixed_sigma=0.0 if einet.ADAPTIVE_RADIUS else einet.FIXED_SIGMA,
                min_overlap=einet.MIN_OVERLAP,
            ),
            "center_options": CenterOptions(
                thing_ids=thing_ids,
                threshold=centers.THRESHOLD,
                kernel=centers.NMS_KERNEL,
                top_k=centers.TOP_K,
                score=centers.SCORE,
                min_thing_share=cfg.INSTANCE.MIN_AREA,
                min_stuff_share=cfg.EVAL.MIN_STUFF_AREA,
            ),
        }

    def forward(self, batched_inputs: list[dict[str, Any]]) -> dict[str, Tensor] | list[dict[str, Any]]:
        """Training: "loss_sem_seg", "loss_center", "loss_offset".

        Else Detectron2's list of {"sem_seg": (C, height, width), "panoptic_seg": (ids, segments_info)}.
        """
        if not self.training:
            return self.output_per_image(batched_inputs)
        labels = stack_images(batched_inputs, "sem_seg").to(self.device)
        instance_ids = stack_images(batched_inputs, "instance_ids").to(self.device)
        weights = running_class_weights(self.class_shares, labels, self.class_balance)
        maps = self.predict_maps(stack_images(batched_inputs), labels)
        return {
            "loss_sem_seg": cross_entropy(maps.sem_seg, labels, weights),
            **self.instance_losses(maps, labels, instance_ids),
        }

    def all_maps(self, features: dict[str, Tensor]) -> list[Tensor]:
        """See `DenseNetwork.all_maps`; logits, heatmaps and offsets."""
        return list(self.head.maps(features))

    def predict_maps(self, images: Tensor, labels: Tensor | None = None) -> EINetMaps:
        """Everything the head predicts, float32 and without padding.

        Args:
            images: (N, 3, H, W).
            labels: (N, H, W) int64, from which the dictionary learns in training mode.
        """
        if labels is not None:
            step = self.size_divisibility
            labels = F.pad(labels, (0, -labels.shape[-1] % step, 0, -labels.shape[-2] % step), value=VOID)
        return EINetMaps(*self._dense_maps(images, lambda features: list(self.head.maps(features, labels))))

    def instance_losses(self, maps: EINetMaps, labels: Tensor, instance_ids: Tensor) -> dict[str, Tensor]:
        """Weighted losses of the heatmaps and the offsets at their own resolution.

        Args:
            maps: of `predict_maps`.
            labels: (N, H, W) int64 train ids.
            instance_ids: (N, H, W) int64.
        """
        size = maps.heatmap.shape[-2:]
        step = labels.shape[-2] / size[0]
        options = self.center_loss
        targets = center_targets(
            shrink_labels(labels, size),
            shrink_labels(instance_ids, size),
            self.center_options.thing_ids,
            fixed_sigma=options.fixed_sigma / step,
            min_overlap=options.min_overlap,
        )
        center = heatmap_focal if options.kind == "focal" else heatmap_mse
        return {
            "loss_center": options.center_weight * center(maps.heatmap, targets),
            "loss_offset": options.offset_weight * step * offset_l1(maps.offsets / step, targets),
        }

    def output_per_image(self, batched_inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Detectron2's test-time protocol: each image on its own, at its `height` x `width`."""
        return [self._predict_one(item) for item in batched_inputs]

    def _predict_one(self, item: dict[str, Any]) -> dict[str, Any]:
        image: Tensor = item["image"]
        shape = image.shape[-2:]
        size = (item.get("height", shape[0]), item.get("width", shape[1]))
        ratio = torch.tensor([n / m for n, m in zip(size, shape)], device=self.device)
        maps = EINetMaps(*self._padded_maps(image[None], self.all_maps))
        logits = resize(resize(self._without_padding(maps.sem_seg, shape), shape), size)[0]
        offsets = self._without_padding(maps.offsets, shape)[0] * ratio[:, None, None]
        # Centres are sought at the head's own stride, whatever the padding: the neighbourhood counts its pixels.
        stride = self.head.stride
        heatmap = maps.heatmap[0, :, : ceil(shape[0] / stride), : ceil(shape[1] / stride)]
        heatmap = heatmap.sigmoid() if self.center_loss.kind == "focal" else heatmap
        panoptic = panoptic_from_centers(logits, heatmap, offsets, stride * ratio, self.center_options)
        return {"sem_seg": logits, "panoptic_seg": panoptic}


def _build_head(cfg: CfgNode, input_shape: dict[str, ShapeSpec], num_things: int) -> EINetHead:
    """The head of a config.

    Raises:
        ValueError: the branches' finest features differ in resolution.
    """
    einet = cfg.MODEL.EINET
    semantic = DeepLabV3PlusDecoder(cfg, input_shape)
    stride, other = (int(input_shape[names[0]].stride or 1) for names in (einet.IN_FEATURES, semantic.low_level_names))
    if stride != other:
        raise ValueError(
            f"MODEL.EINET.IN_FEATURES begin at stride {stride} but MODEL.SEM_SEG_HEAD.IN_FEATURES at stride {other}; "
            "embeddings interact at one resolution: begin both with the same feature"
        )
    instance = InstanceDecoder(
        input_shape,
        in_features=einet.IN_FEATURES,
        channels=einet.CONVS_DIM,
        low_level_channels=einet.LOW_LEVEL_CHANNELS,
        decoder_channels=einet.DECODER_CHANNELS,
        norm=einet.NORM,
    )
    dim = semantic.predictor.in_channels
    interaction = None
    if einet.INTERACTION:
        dictionary = SemanticDictionary(cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES, dim, einet.DICTIONARY_MOMENTUM)
        interaction = EmbeddingInteraction(dim, instance.dim, dictionary)
    return EINetHead(
        semantic=semantic,
        instance=instance,
        interaction=interaction,
        num_things=num_things,
        channels=einet.HEAD_CHANNELS,
        norm=einet.NORM,
        stride=stride,
        heatmap_bias=RARE_LOGIT if einet.CENTER_LOSS == "focal" else 0.0,
    )
