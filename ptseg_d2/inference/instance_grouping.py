"""Groupings: from class masks to the objects inside them.

Shapes: E embedding dims, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from ptseg_d2.counting import number_of
from ptseg_d2.inference.clusterers import Clustering, cluster_things
from ptseg_d2.inference.merging import connected_component_instances
from ptseg_d2.inference.morphology import clean_instances
from ptseg_d2.inference.protocols import EmbeddingNetworks
from ptseg_d2.inference.stability import instance_stability

import torch
from torch import Tensor


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


Separate = Callable[[Tensor, Tensor], tuple[Tensor, dict[int, float]]]
"""What an `InstanceGrouping` does of an image and its classes."""


class InstanceGrouping(Protocol):
    """Separates the objects inside predicted class masks."""

    @property
    def networks(self) -> EmbeddingNetworks | None:
        """Whose embeddings it clusters; None = it has no use for embeddings."""
        ...

    def __call__(self, image: Tensor, sem_seg: Tensor) -> tuple[Tensor, dict[int, float]]:
        """(3, H, W) image and (H, W) classes -> (H, W) int64 ids (0 = none) and a score in (0, 1] per id."""
        ...

    def sharing(self) -> AbstractContextManager[None]:
        """Inside, what was computed of an image serves the further class maps it is asked for with."""
        ...


class ComponentGrouping:
    """The trivial baseline: connected components of each class mask, all with score 1."""

    networks: EmbeddingNetworks | None = None

    def __init__(self, options: PanopticOptions) -> None:
        """
        Args:
            options: thing classes and smallest instance.
        """
        self.options = options

    def __call__(self, image: Tensor, sem_seg: Tensor) -> tuple[Tensor, dict[int, float]]:
        """See `InstanceGrouping`."""
        min_area = number_of(self.options.min_thing_share, sem_seg.numel())
        instance_ids = connected_component_instances(sem_seg, self.options.thing_ids, min_area)
        return instance_ids, {int(i): 1.0 for i in instance_ids.unique() if i > 0}

    def sharing(self) -> AbstractContextManager[None]:
        """See `InstanceGrouping`; there is nothing to share."""
        return nullcontext()


class EmbeddingGrouping:
    """Clusters the embeddings of one network per group of classes."""

    def __init__(
        self,
        networks: EmbeddingNetworks,
        options: PanopticOptions,
        clustering: Clustering,
    ) -> None:
        """
        Args:
            networks: each for some of the thing classes.
            options: sizes and morphology.
            clustering: of the embeddings inside a class mask.
        """
        self.networks = networks
        self.options = options
        self.clustering = clustering
        self._is_sharing = False
        self._image: Tensor | None = None
        self._embeddings: dict[int, Tensor] = {}

    def __call__(self, image: Tensor, sem_seg: Tensor) -> tuple[Tensor, dict[int, float]]:
        """See `InstanceGrouping`; the score is the stability, see `instance_stability`."""
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
            self._image, self._embeddings = image if self._is_sharing else None, {}
        if index in self._embeddings:
            return self._embeddings[index]
        embeddings = self.networks[index][1].predict(image[None])["embeddings"][0]
        if self._is_sharing:
            self._embeddings[index] = embeddings
        return embeddings

    @contextmanager
    def sharing(self) -> Iterator[None]:
        """See `InstanceGrouping`; at the memory of the embeddings of all networks."""
        self._is_sharing = True
        try:
            yield
        finally:
            self._is_sharing, self._image, self._embeddings = False, None, {}


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
    min_area = number_of(options.min_thing_share, sem_seg.numel())
    cluster = partial(clustering, min_size=min_area)
    instance_ids = cluster_things(embeddings, sem_seg, thing_ids, cluster, min_area)
    instance_ids = clean_instances(instance_ids, min_area, opening=options.opening, closing=options.closing)
    # Filling and closing may add pixels without an embedding, which no clustering would.
    finite = instance_ids.where(embeddings.sum(0).isfinite(), 0)
    return instance_ids, instance_stability(finite, [embeddings], clustering.radius)
