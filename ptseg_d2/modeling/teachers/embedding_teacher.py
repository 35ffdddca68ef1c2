"""Meta-architecture of instance self-training ([thesis], section 8, Algorithm 2).

Shapes: B target views, E embedding dims, h x w the decoder's resolution.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from ptseg_d2.counting import number_of
from ptseg_d2.data.datasets import classes_of
from ptseg_d2.data.image_files import read_one_channel
from ptseg_d2.data.mappers import TestMapper
from ptseg_d2.errors import check_choice
from ptseg_d2.inference.clusterers import Clustering, cluster_things
from ptseg_d2.losses.consistency import ConsistencyLoss
from ptseg_d2.modeling.building import build_clustering
from ptseg_d2.modeling.embedding_net import EmbeddingUNet, shrink_labels
from ptseg_d2.modeling.hooks import TeacherUpdate
from ptseg_d2.modeling.teachers.momentum_teacher import MomentumTeacher, Noise, PseudoLabelImage
from ptseg_d2.modeling.teachers.rotation import turned_embeddings
from ptseg_d2.pseudo_labels.instance import detected_instances, stable_instances

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.utils.events import get_event_storage
from torch import Tensor


@META_ARCH_REGISTRY.register()
class EmbeddingMomentumTeacher(MomentumTeacher):
    """Clusters the teacher's embeddings inside predicted class masks into pseudo instances."""

    separates_groups = True
    """It may be trained for one group of classes, its `thing_ids`."""

    config_node = "INSTANCE"
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
        clustering: Clustering,
        consistency: ConsistencyLoss | None = None,
        max_rotation: float = 0.0,
        detected_iterations: int = 0,
        **options: Any,
    ) -> None:
        """
        Args:
            thing_ids: train ids of the classes this network separates (its group).
            min_mask_share: smallest class mask that is clustered, share of the view.
            min_share: smallest pseudo instance, share of the view.
            stability: median IoU of student and teacher masks below which an instance is ignored.
            num_anchors: anchors per instance of that test.
            clustering: of the teacher's embeddings inside a class mask.
            consistency: loss between the embeddings of student and teacher; None = off.
            max_rotation: for that loss the teacher sees its views turned by an angle from U(0, this), in degrees.
            detected_iterations: steps during which a detector's instances are the pseudo instances, before the
                teacher's clusters take over; its views come with the target images.
            options: those of `MomentumTeacher`; the student is an `EmbeddingUNet`.
        """
        super().__init__(**options)
        self.thing_ids = thing_ids
        self.min_mask_share = min_mask_share
        self.min_share = min_share
        self.stability = stability
        self.num_anchors = num_anchors
        self.consistency = consistency
        self.max_rotation = max_rotation
        self.detected_iterations = detected_iterations
        self.clustering = clustering

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Student from MODEL.*, pseudo labels from INSTANCE."""
        instance, embedding, classes = cfg.INSTANCE, cfg.MODEL.EMBEDDING, classes_of(cfg)
        consistency = ConsistencyLoss(
            weight=instance.CONSISTENCY_WEIGHT,
            delta_var=embedding.DELTA_VAR,
            max_anchors=instance.CONSISTENCY_ANCHORS,
            rest=instance.CONSISTENCY_REST,
        )
        return {
            "student": EmbeddingUNet(cfg),
            "target_weight": instance.TARGET_WEIGHT,
            "ramp_iterations": instance.RAMP_ITERS,
            "bn_stats": instance.BN_STATS,
            "evaluate": instance.EVALUATE,
            "update": _teacher_update(cfg),
            "seed": max(cfg.SEED, 0),
            "thing_ids": classes.thing_ids,
            "min_mask_share": instance.MIN_MASK_AREA,
            "min_share": instance.MIN_AREA,
            "stability": instance.STABILITY,
            "num_anchors": instance.STABILITY_ANCHORS,
            "clustering": build_clustering(cfg),
            "consistency": consistency if instance.CONSISTENCY_WEIGHT > 0 else None,
            "max_rotation": instance.CONSISTENCY_ROTATION,
            "detected_iterations": instance.DETECTED_ITERS,
        }

    @classmethod
    def needs_masks(cls, cfg: CfgNode) -> str:
        """See `MomentumTeacher`."""
        return "MODEL.META_ARCHITECTURE = 'EmbeddingMomentumTeacher'"

    @classmethod
    def needs_detections(cls, cfg: CfgNode) -> bool:
        """See `MomentumTeacher`."""
        return cfg.INSTANCE.DETECTED_ITERS > 0

    def worth_showing(self, images: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The images in which enough of some class was predicted to be clustered; all of them if there is none."""
        shares = [np.max([item["class_shares"][i] for i in self.thing_ids]) for item in images]
        return [item for item, share in zip(images, shares) if share >= self.min_mask_share] or images

    def pseudo_label_image(self, item: dict[str, Any], noise: Noise) -> PseudoLabelImage:
        """See `MomentumTeacher`."""
        ids, _ = self.pseudo_instances(*self.encode_image(item, noise))
        return PseudoLabelImage(True, ids.cpu().numpy())

    @torch.no_grad()
    def encode_image(self, item: dict[str, Any], noise: Noise) -> tuple[Tensor, Tensor, Tensor]:
        """What the teacher makes of an image and the student of its noisy version, as in training.

        Args:
            item: with `class_mask_file_name`; the model is in evaluation mode.
            noise: of the student's image; draws from the global random generators.

        Returns:
            (E, h, w) embeddings of the teacher, those of the student, (h, w) int64 predicted classes.
        """
        assert not self.training
        image = TestMapper()(dict(item))["image"]
        teacher = self.teacher.predict_strided(image[None])[0]
        student = self.student.predict_strided(noise(image)[None])[0]
        sem_seg = torch.from_numpy(read_one_channel(item["class_mask_file_name"]).astype(np.int64))
        return teacher, student, shrink_labels(sem_seg[None], teacher.shape[-2:])[0].to(self.device)

    def target_losses(self, target: list[dict[str, Any]], source: list[dict[str, Any]]) -> dict[str, Tensor]:
        """The terms of `EmbeddingLoss` on the pseudo instances of the target views, and `ConsistencyLoss` if it is on.

        Returns:
            keys `loss_*_target`.
        """
        images = torch.cat([item["student_views"] for item in target])
        clean = torch.cat([item["teacher_views"] for item in target])
        masks = torch.cat([item["class_mask_views"] for item in target]).to(self.device)
        embeddings = self.student.predict_strided(images)
        with torch.no_grad():
            teacher = self.teacher.predict_strided(clean)
            masks = shrink_labels(masks, teacher.shape[-2:])
            if int(self.num_steps) < self.detected_iterations:
                instance_ids = self._detected(target, masks)
            else:
                pseudo = [self.pseudo_instances(t, s, m) for t, s, m in zip(teacher, embeddings.detach(), masks)]
                instance_ids = torch.stack([ids for ids, _ in pseudo])
                self._log(len(pseudo), [score for _, scores in pseudo for score in scores.values()])
        losses = self.student.criterion(embeddings, instance_ids)
        if self.consistency is not None:
            teacher, seen = turned_embeddings(self.teacher, clean, teacher, self.max_rotation)
            losses.update(self.consistency(embeddings, teacher, seen & self._is_thing(masks)))
        return {f"{name}_target": loss for name, loss in losses.items()}

    def pseudo_instances(self, teacher: Tensor, student: Tensor, sem_seg: Tensor) -> tuple[Tensor, dict[int, float]]:
        """Algorithm 2 on one view: cluster inside each class mask, keep what mask, student and teacher agree on.

        Args:
            teacher: (E, h, w) embeddings of the clean view.
            student: (E, h, w) embeddings of the noisy view.
            sem_seg: (h, w) int64 predicted classes.

        Returns:
            (h, w) int64: 1..K stable instances, -1 unstable ones and unclustered thing pixels, 0 elsewhere; and the
            stability of every instance, stable or not.
        """
        cluster = partial(self.clustering, min_size=number_of(self.min_share, sem_seg.numel(), at_least=1))
        instance_ids = cluster_things(teacher, sem_seg, self.thing_ids, cluster, self.min_mask_area(sem_seg))
        stable, scores = stable_instances(
            instance_ids, (student, teacher), self.clustering.radius, self.num_anchors, self.stability
        )
        return torch.where(self._is_thing(sem_seg) & (stable == 0), -1, stable), scores

    def _detected(self, target: list[dict[str, Any]], sem_seg: Tensor) -> Tensor:
        """(B, h, w) pseudo instances of the detector, where `sem_seg` (B, h, w) are the predicted classes."""
        views = torch.cat([item["detected_instance_views"] for item in target]).to(sem_seg.device)
        min_area = number_of(self.min_share, sem_seg[0].numel(), at_least=1)
        pairs = zip(shrink_labels(views, sem_seg.shape[-2:]), sem_seg)
        instance_ids = torch.stack([detected_instances(view, m, self.thing_ids, min_area) for view, m in pairs])
        get_event_storage().put_scalar("pseudo/detected", instance_ids.amax((1, 2)).float().mean().item())
        return instance_ids

    def min_mask_area(self, sem_seg: Tensor) -> int:
        """Pixels of the smallest class mask of (h, w) classes that is clustered."""
        return number_of(self.min_mask_share, sem_seg.numel(), at_least=1)

    def _is_thing(self, sem_seg: Tensor) -> Tensor:
        """Where (..., h, w) int64 classes are of this network's group: bool."""
        return torch.isin(sem_seg, torch.tensor(self.thing_ids, device=sem_seg.device))

    def _log(self, num_views: int, scores: list[float]) -> None:
        """Instances found per view, their mean stability, and the share of them that is unstable."""
        storage = get_event_storage()
        storage.put_scalar("pseudo/instances", len(scores) / max(1, num_views))
        storage.put_scalar("pseudo/stability", sum(scores) / max(1, len(scores)))
        unstable = sum(score < self.stability for score in scores)
        storage.put_scalar("pseudo/unstable", unstable / max(1, len(scores)))


def _teacher_update(cfg: CfgNode) -> TeacherUpdate:
    """How INSTANCE.TEACHER follows the student.

    Raises:
        ValueError: unknown choice.
    """
    check_choice("INSTANCE.TEACHER", cfg.INSTANCE.TEACHER, ("frozen", "ema"))
    if cfg.INSTANCE.TEACHER == "frozen":
        return TeacherUpdate(momentum=0.0, interval=cfg.INSTANCE.REFRESH_INTERVAL)
    return TeacherUpdate(momentum=cfg.INSTANCE.EMA_DECAY)
