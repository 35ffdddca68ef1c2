"""Peaks, grouping and scores; perfect predictions give back the instances they were made of."""

from __future__ import annotations

from ptseg_d2.inference.center_grouping import (
    CenterOptions,
    Centers,
    find_centers,
    group_pixels,
    instance_scores,
    panoptic_from_centers,
)
from ptseg_d2.losses.centers import center_targets
from ptseg_d2.modeling.embedding_net import shrink_labels

import pytest
import torch
from torch import Tensor, tensor

THINGS = (11, 13)
OPTIONS = CenterOptions(
    thing_ids=THINGS, threshold=0.1, kernel=3, top_k=50, score="product", min_thing_share=0.0, min_stuff_share=0.0
)


def centers(*positions: tuple[float, float], channels: list[int]) -> Centers:
    return Centers(
        tensor(positions, dtype=torch.float32).view(-1, 2),
        tensor(channels, dtype=torch.int64),
        torch.ones(len(positions)),
    )


def test_peaks_by_hand() -> None:
    heatmap = tensor(
        [
            [[0.9, 0.2, 0.0, 0.05], [0.3, 0.1, 0.0, 0.08]],  # one peak; .08 is below the threshold
            [[0.0, 0.0, 0.5, 0.5], [0.0, 0.0, 0.0, 0.0]],  # a plateau is one peak, at its first pixel
        ]
    )
    found = find_centers(heatmap, 0.1, 3, 10)
    assert found.positions_yx.tolist() == [[0, 0], [0, 2]]
    assert found.channels.tolist() == [0, 1] and found.scores.tolist() == pytest.approx([0.9, 0.5])
    assert find_centers(heatmap, 0.1, 3, 1).channels.tolist() == [0]
    assert len(find_centers(heatmap, 0.95, 3, 10).scores) == 0


def test_pixels_go_to_the_nearest_centre_of_their_class() -> None:
    """Both persons' pixels point at column 2; the car between them is nearer but no person's."""
    sem_seg = tensor([[11, 11, 13, 0, 11]])
    offsets = torch.zeros(2, 1, 5)
    offsets[1, 0, 1] = 3.0  # the second pixel points at column 4
    found = group_pixels(sem_seg, offsets, centers((0, 0), (0, 2), (0, 4), channels=[0, 1, 0]), THINGS)
    assert found.tolist() == [[1, 3, 2, 0, 3]]


def test_a_class_without_a_centre_takes_the_nearest_of_another() -> None:
    sem_seg = tensor([[13, 11, 13, 0]])
    assert group_pixels(sem_seg, torch.zeros(2, 1, 4), centers((0, 0), (0, 2), channels=[1, 1]), THINGS).tolist() == [
        [1, 1, 2, 0]
    ]


def test_nothing_to_group() -> None:
    sem_seg = tensor([[13, 0]])
    assert group_pixels(sem_seg, torch.zeros(2, 1, 2), centers(channels=[]), THINGS).tolist() == [[0, 0]]
    none = torch.zeros(1, 2, dtype=torch.int64)
    assert group_pixels(none, torch.zeros(2, 1, 2), centers((0, 0), channels=[1]), THINGS).tolist() == [[0, 0]]


def random_scene(seed: int, height: int = 48, width: int = 64) -> tuple[Tensor, Tensor]:
    """Rectangles that hide each other, over road and sky."""
    generator = torch.Generator().manual_seed(seed)
    sem_seg = torch.where(torch.arange(height)[:, None] < height // 2, 10, 0).expand(-1, width).clone()
    ids = torch.zeros(height, width, dtype=torch.int64)
    for number in range(1, 7):
        y, x, h, w, thing = (int(torch.randint(*r, (), generator=generator)) for r in _RANGES)
        ids[y : y + h, x : x + w] = number
        sem_seg[y : y + h, x : x + w] = THINGS[thing]
    return sem_seg, ids


_RANGES = ((0, 40), (0, 52), (6, 14), (6, 14), (0, 2))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("fixed_sigma", [0.0, 1.5])
def test_perfect_predictions_give_the_ground_truth(seed: int, fixed_sigma: float) -> None:
    """Targets -> grouping is the identity, when no two centres of a class hide each other."""
    sem_seg, ids = random_scene(seed)
    targets = center_targets(sem_seg[None], ids[None], THINGS, fixed_sigma=fixed_sigma, min_overlap=0.3)
    logits = 20 * torch.nn.functional.one_hot(sem_seg, 19).permute(2, 0, 1).float()
    panoptic, segments = panoptic_from_centers(
        logits, targets.heatmap[0], targets.offsets[0], tensor([1.0, 1.0]), OPTIONS
    )
    assert same_partition(panoptic, ids * 256 + sem_seg)
    for segment in segments:
        inside = panoptic == segment["id"]
        assert (sem_seg[inside] == segment["category_id"]).all() and segment["area"] == int(inside.sum())
        assert segment["isthing"] == (segment["category_id"] in THINGS)
        assert segment["score"] == pytest.approx(1, abs=1e-4)


def test_maps_at_half_resolution_separate_the_same_instances() -> None:
    sem_seg, ids = random_scene(0)
    small_sem_seg, small_ids = (shrink_labels(x[None], (24, 32)) for x in (sem_seg, ids))
    targets = center_targets(small_sem_seg, small_ids, THINGS, fixed_sigma=0.0, min_overlap=0.3)
    logits = 20 * torch.nn.functional.one_hot(sem_seg, 19).permute(2, 0, 1).float()
    offsets = torch.nn.functional.interpolate(2 * targets.offsets, scale_factor=2, mode="nearest")[0]
    panoptic, _ = panoptic_from_centers(logits, targets.heatmap[0], offsets, tensor([2.0, 2.0]), OPTIONS)
    assert len(panoptic.unique()) == len((ids * 256 + sem_seg).unique())
    for number in ids.unique()[1:].tolist():
        values, counts = panoptic[ids == number].unique(return_counts=True)
        assert counts.max() >= 0.9 * counts.sum()


def same_partition(first: Tensor, second: Tensor) -> bool:
    """Whether two maps split the pixels alike, whatever the numbers."""
    pairs = torch.stack([first.flatten().long(), second.flatten().long()]).unique(dim=1)
    return pairs.shape[1] == len(first.unique()) == len(second.unique())


def test_scores_by_hand() -> None:
    """Instance 1 has class probabilities .6 and 1, instance 3 none; 2 has .5. Values above 1 count as 1."""
    ids, sem_seg = tensor([[1, 1, 2]]), tensor([[0, 1, 1]])
    probabilities = tensor([[[0.6, 0.0, 0.5]], [[0.4, 1.0, 0.5]]])
    objectness = tensor([0.5, 1.2, 0.7])

    def scores(kind: str) -> list[float]:
        found = instance_scores(kind, ids, sem_seg, probabilities, objectness)
        assert list(found) == [1, 2, 3]
        return list(found.values())

    assert scores("objectness") == pytest.approx([0.5, 1, 0.7])
    assert scores("semantic") == pytest.approx([0.8, 0.5, 0])
    assert scores("product") == pytest.approx([0.4, 0.5, 0])
