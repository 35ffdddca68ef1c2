"""Image -> panoptic result: semantic argmax, instances inside each thing mask, merging.

Shapes: C classes, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from ptseg_d2.counting import number_of
from ptseg_d2.inference.instance_grouping import InstanceGrouping, PanopticOptions, Separate
from ptseg_d2.inference.merging import merge_panoptic
from ptseg_d2.inference.protocols import DensePredictor, EmbeddingNetworks
from ptseg_d2.resizing import resize

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Variant:
    """One way to make a panoptic result from the logits of a semantic network.

    Attributes:
        grouping: separates objects.
        min_score: instances of a lower score, the grouping's times the mean probability of their pixels, become void,
            in [0, 1].
        class_ids: the only classes whose logits count; None = all.
    """

    grouping: InstanceGrouping
    min_score: float = 0.0
    class_ids: tuple[int, ...] | None = None


class PanopticModel(nn.Module):
    """A semantic network and a way to find instances, as one Detectron2 model for `inference_on_dataset`."""

    def __init__(
        self,
        semantic: DensePredictor,
        grouping: InstanceGrouping | None,
        options: PanopticOptions,
        min_score: float = 0.0,
        variants: Mapping[str, Variant] | None = None,
    ) -> None:
        """
        Args:
            semantic: predicts "sem_seg" logits.
            grouping: separates objects; None = semantic output only.
            options: sizes for merging.
            min_score: as in `Variant`.
            variants: further panoptic results of the same logits, by their keys in the output.
        """
        super().__init__()
        self.semantic = semantic
        self.grouping = grouping
        self.options = options
        self.min_score = min_score
        self.variants = dict(variants or {})
        self.eval()

    @property
    def embedding_networks(self) -> EmbeddingNetworks | None:
        """See `PanopticSystem`; those of the model's own result."""
        return None if self.grouping is None else self.grouping.networks

    def all_variants(self) -> dict[str, Variant]:
        """By their keys in the output, the model's own result among them."""
        own = {} if self.grouping is None else {"panoptic_seg": Variant(self.grouping, self.min_score)}
        return {**own, **self.variants}

    @contextmanager
    def sharing_embeddings(self) -> Iterator[None]:
        """Inside, what is separated in several class maps of one image is embedded once, at the memory of the maps."""
        groupings = {variant.grouping for variant in self.all_variants().values()}
        with ExitStack() as stack:
            for grouping in groupings:
                stack.enter_context(grouping.sharing())
            yield

    @torch.no_grad()
    def forward(self, batched_inputs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Per image `sem_seg` (C, height, width) logits, with a grouping `panoptic_seg`, and the variants."""
        return [self._predict_one(item) for item in batched_inputs]

    def _predict_one(self, item: dict[str, Any]) -> dict[str, Any]:
        image: Tensor = item["image"]
        logits = self.semantic.predict(image[None])["sem_seg"]
        size = (item.get("height", image.shape[-2]), item.get("width", image.shape[-1]))
        logits = resize(logits, size)[0]
        image = resize(image[None].float(), size)[0]
        output: dict[str, Any] = {"sem_seg": logits}
        found: dict[Any, tuple[Tensor, Tensor, dict[int, float]]] = {}
        for key, variant in self.all_variants().items():
            search = (variant.grouping, variant.class_ids)
            if search not in found:
                found[search] = find_instances(image, logits, *search)
            output[key] = drop_low_scores(*found[search], variant.min_score, self.options)
        return output

    @torch.no_grad()
    def from_logits(self, image: Tensor, logits: Tensor) -> tuple[Tensor, list[dict[str, Any]]]:
        """`panoptic_seg` of a (3, H, W) float image and the (C, H, W) logits of its classes."""
        assert self.grouping is not None
        return drop_low_scores(*find_instances(image, logits, self.grouping), self.min_score, self.options)


def find_instances(
    image: Tensor, logits: Tensor, grouping: Separate, class_ids: Sequence[int] | None = None
) -> tuple[Tensor, Tensor, dict[int, float]]:
    """Instances inside the most probable classes.

    Args:
        image: (3, H, W) float.
        logits: (C, H, W).
        grouping: separates objects.
        class_ids: the only classes whose logits count; None = all.

    Returns:
        (H, W) int64 classes, (H, W) int64 instance ids (0 = none), and a score in [0, 1] per instance: the grouping's
        times the mean probability of its pixels.
    """
    if class_ids is None:
        probability, sem_seg = logits.softmax(dim=0).max(dim=0)
    else:
        ids = torch.tensor(class_ids, device=logits.device)
        probability, position = logits[ids].softmax(dim=0).max(dim=0)
        sem_seg = ids[position]
    instance_ids, scores = grouping(image, sem_seg)
    means = mean_per_instance(probability, instance_ids).tolist()
    return sem_seg, instance_ids, {number: score * means[number] for number, score in scores.items()}


def drop_low_scores(
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
        min_stuff_area=number_of(options.min_stuff_share, num_pixels),
        min_thing_area=number_of(options.min_thing_share, num_pixels),
    )
