"""Image -> panoptic result: semantic argmax, instances inside each thing mask, merging.

Shapes: C classes, E embedding dims, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from ptseg_d2.inference.clusterers import Clustering
from ptseg_d2.inference.merging import connected_component_instances, merge_panoptic
from ptseg_d2.inference.morphology import clean_instances
from ptseg_d2.pseudo_labels.instance import cluster_things, instance_stability
from ptseg_d2.resizing import resize

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class PanopticOptions:
    """Sizes are shares of the image, so that one setting serves every resolution.

    Attributes:
        thing_ids: train ids of the classes with instances.
        min_thing_share: smallest instance.
        min_stuff_share: smallest stuff segment; smaller ones become void.
        opening: radius of the opening of instance masks, share of the height, see `clean_instances`.
        closing: likewise of the closing.
    """

    thing_ids: tuple[int, ...]
    min_thing_share: float
    min_stuff_share: float
    opening: float = 0.0
    closing: float = 0.0


class InstanceFinder(Protocol):
    """Separates the objects inside predicted class masks."""

    def __call__(self, image: Tensor, sem_seg: Tensor) -> tuple[Tensor, dict[int, float]]:
        """(3, H, W) image and (H, W) classes -> (H, W) int64 ids (0 = none) and a score in (0, 1] per id."""
        ...


class ComponentFinder:
    """The trivial baseline: connected components of each class mask, all with score 1."""

    def __init__(self, options: PanopticOptions) -> None:
        """
        Args:
            options: thing classes and smallest instance.
        """
        self.options = options

    def __call__(self, image: Tensor, sem_seg: Tensor) -> tuple[Tensor, dict[int, float]]:
        """See `InstanceFinder`."""
        min_area = round(self.options.min_thing_share * sem_seg.numel())
        instance_ids = connected_component_instances(sem_seg, self.options.thing_ids, min_area)
        return instance_ids, {int(i): 1.0 for i in instance_ids.unique() if i > 0}


class EmbeddingFinder:
    """Clusters the embeddings of one network per group of classes."""

    def __init__(
        self,
        networks: Sequence[tuple[tuple[int, ...], nn.Module]],
        options: PanopticOptions,
        clustering: Clustering,
    ) -> None:
        """
        Args:
            networks: thing classes and the network (with `predict`) that separates them.
            options: sizes and morphology.
            clustering: of the embeddings inside a class mask.

        `keep_embeddings` may be set where one image is asked for with several class maps (`Variant`): they share the
        networks' work, at the memory of all networks' embeddings.
        """
        self.networks = networks
        self.options = options
        self.clustering = clustering
        self.keep_embeddings = False
        self._image: Tensor | None = None
        self._embeddings: dict[int, Tensor] = {}

    def __call__(self, image: Tensor, sem_seg: Tensor) -> tuple[Tensor, dict[int, float]]:
        """See `InstanceFinder`; the score is the stability, see `instance_stability`."""
        instance_ids = torch.zeros_like(sem_seg)
        scores: dict[int, float] = {}
        present = set(sem_seg.unique().tolist())
        for index, (thing_ids, _) in enumerate(self.networks):
            if present.isdisjoint(thing_ids):
                continue
            found, found_scores = embedding_instances(
                self._embed(image, index), sem_seg, thing_ids, self.options, self.clustering
            )
            offset = int(instance_ids.max())
            instance_ids = torch.where(found > 0, found + offset, instance_ids)
            scores.update({number + offset: score for number, score in found_scores.items()})
        return instance_ids, scores

    def _embed(self, image: Tensor, index: int) -> Tensor:
        """(E, H, W) embeddings of one network."""
        if image is not self._image:
            self._image, self._embeddings = image if self.keep_embeddings else None, {}
        if index in self._embeddings:
            return self._embeddings[index]
        embeddings: Tensor = self.networks[index][1].predict(image[None])["embeddings"][0]  # type: ignore[operator]
        if self.keep_embeddings:
            self._embeddings[index] = embeddings
        return embeddings

    def forget(self) -> None:
        """Free the embeddings that `keep_embeddings` has kept."""
        self._image, self._embeddings = None, {}


def embedding_instances(
    embeddings: Tensor, sem_seg: Tensor, thing_ids: Sequence[int], options: PanopticOptions, clustering: Clustering
) -> tuple[Tensor, dict[int, float]]:
    """Instances of one embedding map: clustered inside each class mask, then repaired.

    Args:
        embeddings: (E, H, W).
        sem_seg: (H, W) int64 classes.
        thing_ids: classes to separate.
        options: sizes and morphology.
        clustering: of the embeddings inside a class mask.

    Returns:
        (H, W) int64 ids (0 = none), and a score in (0, 1] per id: the stability, see `instance_stability`.
    """
    min_area = round(options.min_thing_share * sem_seg.numel())
    cluster = partial(clustering, min_size=min_area)
    instance_ids = cluster_things(embeddings, sem_seg, thing_ids, cluster, min_area)
    instance_ids = clean_instances(instance_ids, min_area, opening=options.opening, closing=options.closing)
    # Filling and closing may add pixels without an embedding, which no clustering would.
    finite = instance_ids.where(embeddings.sum(0).isfinite(), 0)
    return instance_ids, instance_stability(finite, [embeddings], clustering.radius)


@dataclass(frozen=True)
class Variant:
    """One way to make a panoptic result from the logits of a semantic network.

    Attributes:
        finder: separates objects.
        min_score: instances of a lower score, the finder's times the mean probability of their pixels, become void, in
            [0, 1].
        class_ids: the only classes whose logits count; None = all.
    """

    finder: InstanceFinder
    min_score: float = 0.0
    class_ids: tuple[int, ...] | None = None


class PanopticModel(nn.Module):
    """A semantic network and a way to find instances, as one Detectron2 model for `inference_on_dataset`."""

    def __init__(
        self,
        semantic: nn.Module,
        finder: InstanceFinder | None,
        options: PanopticOptions,
        min_score: float = 0.0,
        variants: Mapping[str, Variant] | None = None,
    ) -> None:
        """
        Args:
            semantic: predicts {"sem_seg": (N, C, H, W)} logits by `predict`.
            finder: separates objects; None = semantic output only.
            options: sizes for merging.
            min_score: as in `Variant`.
            variants: further panoptic results of the same logits, by their keys in the output.
        """
        super().__init__()
        self.semantic = semantic
        self.finder = finder
        self.options = options
        self.min_score = min_score
        self.variants = dict(variants or {})
        self.eval()

    def all_variants(self) -> dict[str, Variant]:
        """By their keys in the output, the model's own result among them."""
        own = {} if self.finder is None else {"panoptic_seg": Variant(self.finder, self.min_score)}
        return {**own, **self.variants}

    @torch.no_grad()
    def forward(self, batched_inputs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Per image `sem_seg` (C, height, width) logits, with a finder `panoptic_seg`, and the variants."""
        return [self._predict_one(item) for item in batched_inputs]

    def _predict_one(self, item: dict[str, Any]) -> dict[str, Any]:
        image: Tensor = item["image"]
        logits = self.semantic.predict(image[None])["sem_seg"]  # type: ignore[operator]
        size = (item.get("height", image.shape[-2]), item.get("width", image.shape[-1]))
        logits = resize(logits, size)[0]
        image = resize(image[None].float(), size)[0]
        output: dict[str, Any] = {"sem_seg": logits}
        found: dict[Any, tuple[Tensor, Tensor, dict[int, float]]] = {}
        for key, variant in self.all_variants().items():
            search = (variant.finder, variant.class_ids)
            if search not in found:
                found[search] = find_instances(image, logits, *search)
            output[key] = keep_sure(*found[search], variant.min_score, self.options)
        return output

    @torch.no_grad()
    def from_logits(self, image: Tensor, logits: Tensor) -> tuple[Tensor, list[dict[str, Any]]]:
        """`panoptic_seg` of a (3, H, W) float image and the (C, H, W) logits of its classes."""
        assert self.finder is not None
        return keep_sure(*find_instances(image, logits, self.finder), self.min_score, self.options)


def find_instances(
    image: Tensor, logits: Tensor, finder: InstanceFinder, class_ids: Sequence[int] | None = None
) -> tuple[Tensor, Tensor, dict[int, float]]:
    """Instances inside the most probable classes.

    Args:
        image: (3, H, W) float.
        logits: (C, H, W).
        finder: separates objects.
        class_ids: the only classes whose logits count; None = all.

    Returns:
        (H, W) int64 classes, (H, W) int64 instance ids (0 = none), and a score in [0, 1] per instance: the finder's
        times the mean probability of its pixels.
    """
    if class_ids is None:
        probability, sem_seg = logits.softmax(dim=0).max(dim=0)
    else:
        ids = torch.tensor(class_ids, device=logits.device)
        probability, position = logits[ids].softmax(dim=0).max(dim=0)
        sem_seg = ids[position]
    instance_ids, scores = finder(image, sem_seg)
    means = mean_per_instance(probability, instance_ids).tolist()
    return sem_seg, instance_ids, {number: score * means[number] for number, score in scores.items()}


def keep_sure(
    sem_seg: Tensor, instance_ids: Tensor, scores: dict[int, float], min_score: float, options: PanopticOptions
) -> tuple[Tensor, list[dict[str, Any]]]:
    """The panoptic result of what `find_instances` returns, without the instances below a score."""
    kept = [number for number, score in scores.items() if score >= min_score]
    is_kept = torch.isin(instance_ids, torch.tensor(kept, dtype=torch.int64, device=instance_ids.device))
    return merge_instances(sem_seg, instance_ids.where(is_kept, 0), scores, options)


def mean_per_instance(values: Tensor, instance_ids: Tensor) -> Tensor:
    """(K + 1,) float64 means of (H, W) values over each of the ids 0..K, 0 for an id without a pixel.

    On a GPU the order of the summands is not fixed, so that the last bits may differ from run to run.
    """
    ids = instance_ids.flatten()
    counts = ids.bincount(minlength=1)
    sums = torch.zeros_like(counts, dtype=torch.float64).index_add_(0, ids, values.flatten().double())
    return sums / counts.clamp(min=1)


def merge_instances(
    sem_seg: Tensor, instance_ids: Tensor, scores: dict[int, float], options: PanopticOptions
) -> tuple[Tensor, list[dict[str, Any]]]:
    """`merge_panoptic` with the sizes of the options."""
    num_pixels = sem_seg.numel()
    return merge_panoptic(
        sem_seg,
        instance_ids,
        set(options.thing_ids),
        scores=scores,
        min_stuff_area=round(options.min_stuff_share * num_pixels),
        min_thing_area=round(options.min_thing_share * num_pixels),
    )
