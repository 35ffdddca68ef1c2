"""Meta-architecture of instance self-training (thesis section 8, Algorithm 2).

Shapes: B target views, E embedding dims, h x w the decoder's resolution.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from ptseg_d2.data.categories import THING_IDS, class_ids
from ptseg_d2.inference.clustering import mean_shift_plus
from ptseg_d2.modeling.embedding_net import EmbeddingUNet, shrink_labels
from ptseg_d2.modeling.momentum_teacher import MomentumTeacher
from ptseg_d2.pseudo_labels.instance import cluster_things, stable_instances

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.utils.events import get_event_storage
from torch import Tensor


@META_ARCH_REGISTRY.register()
class EmbeddingMomentumTeacher(MomentumTeacher):
    """Clusters the teacher's embeddings inside predicted class masks into pseudo instances."""

    student: EmbeddingUNet

    @configurable
    def __init__(
        self,
        *,
        thing_ids: tuple[int, ...],
        min_mask_share: float,
        min_share: float,
        stability: float,
        num_anchors: int,
        num_samples: int,
        num_seeds: int,
        **options: Any,
    ) -> None:
        """
        Args:
            thing_ids: train ids of the classes this network separates (its group).
            min_mask_share: smallest class mask that is clustered, share of the view.
            min_share: smallest pseudo instance, share of the view.
            stability: median IoU of student and teacher masks below which an instance is ignored.
            num_anchors: anchors per instance of that test.
            num_samples: points of a class mask on which modes are searched.
            num_seeds: seeds of the mode search.
            options: those of `MomentumTeacher`; the student is an `EmbeddingUNet`.
        """
        super().__init__(**options)
        self.thing_ids = thing_ids
        self.min_mask_share = min_mask_share
        self.min_share = min_share
        self.stability = stability
        self.num_anchors = num_anchors
        self.num_samples = num_samples
        self.num_seeds = num_seeds

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Student from MODEL.*, pseudo labels from INSTANCE."""
        instance = cfg.INSTANCE
        return {
            "student": EmbeddingUNet(cfg),
            "target_weight": instance.TARGET_WEIGHT,
            "ramp_iterations": cfg.MODEL.SELF_TRAINING.RAMP_ITERS,
            "bn_stats": cfg.MODEL.SELF_TRAINING.BN_STATS,
            "evaluate": cfg.MODEL.SELF_TRAINING.EVALUATE,
            "seed": max(cfg.SEED, 0),
            "thing_ids": class_ids(instance.GROUP) if instance.GROUP else THING_IDS,
            "min_mask_share": instance.MIN_MASK_AREA,
            "min_share": instance.MIN_AREA,
            "stability": instance.STABILITY,
            "num_anchors": instance.STABILITY_ANCHORS,
            "num_samples": instance.CLUSTER_SAMPLES,
            "num_seeds": instance.CLUSTER_SEEDS,
        }

    def target_losses(self, target: list[dict[str, Any]], source: list[dict[str, Any]]) -> dict[str, Tensor]:
        """The terms of `EmbeddingLoss` on the pseudo instances of the target views, keys `loss_*_target`."""
        images = torch.cat([item["student_views"] for item in target])
        clean = torch.cat([item["teacher_views"] for item in target])
        masks = torch.cat([item["predicted_views"] for item in target]).to(self.device)
        embeddings = self.student.predict_strided(images)
        with torch.no_grad():
            teacher = self.teacher.predict_strided(clean)
            masks = shrink_labels(masks, teacher.shape[-2:])
            instance_ids = torch.stack(
                [self.pseudo_instances(t, s, m) for t, s, m in zip(teacher, embeddings.detach(), masks)]
            )
        self._log(instance_ids)
        losses = self.student.criterion(embeddings, instance_ids)
        return {f"{name}_target": loss for name, loss in losses.items()}

    def pseudo_instances(self, teacher: Tensor, student: Tensor, sem_seg: Tensor) -> Tensor:
        """Algorithm 2 on one view: cluster inside each class mask, keep what student and teacher agree on.

        Args:
            teacher: (E, h, w) embeddings of the clean view.
            student: (E, h, w) embeddings of the noisy view.
            sem_seg: (h, w) int64 predicted classes.

        Returns:
            (h, w) int64: 1..K stable instances, -1 unstable ones and unclustered thing pixels, 0 elsewhere.
        """
        criterion = self.student.criterion
        cluster = partial(
            mean_shift_plus,
            bandwidth=criterion.delta_var,
            merge_distance=criterion.delta_dist,
            min_size=max(1, round(self.min_share * sem_seg.numel())),
            num_samples=self.num_samples,
            num_seeds=self.num_seeds,
        )
        min_area = round(self.min_mask_share * sem_seg.numel())
        instance_ids = cluster_things(teacher, sem_seg, self.thing_ids, cluster, min_area)
        stable, _ = stable_instances(
            instance_ids,
            student,
            teacher,
            radius=criterion.delta_var,
            num_anchors=self.num_anchors,
            threshold=self.stability,
            sem_seg=sem_seg,
        )
        thing = torch.isin(sem_seg, torch.tensor(self.thing_ids, device=sem_seg.device))
        return torch.where(thing & (stable == 0), -1, stable)

    def _log(self, instance_ids: Tensor) -> None:
        storage = get_event_storage()
        per_image = [len(ids[ids > 0].unique()) for ids in instance_ids]
        storage.put_scalar("pseudo/instances", sum(per_image) / max(1, len(per_image)))
        clustered = instance_ids != 0
        unstable = float((instance_ids == -1).sum() / clustered.sum().clamp(min=1))
        storage.put_scalar("pseudo/unstable", unstable)
