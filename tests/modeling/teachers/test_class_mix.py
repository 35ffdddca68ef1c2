"""ClassMix: half of the classes, never void; pixels come from exactly one side."""

from __future__ import annotations

from ptseg_d2.modeling.teachers.class_mix import choose_classes, paste

import pytest
import torch
from torch import tensor


@pytest.mark.parametrize(
    ("classes", "num_chosen"), [([3], 1), ([3, 255], 1), ([0, 7], 1), ([0, 7, 18], 2), ([0, 1, 2, 3, 255], 2)]
)
def test_chooses_half_of_the_classes_rounded_up(classes: list[int], num_chosen: int) -> None:
    sem_seg = tensor(classes).repeat(4, 1)
    for seed in range(10):
        mask = choose_classes(sem_seg, torch.Generator().manual_seed(seed))
        chosen = set(sem_seg[mask].tolist())
        assert len(chosen) == num_chosen and 255 not in chosen
        assert not chosen & set(sem_seg[~mask].tolist())  # whole classes


def test_every_class_is_chosen_equally_often() -> None:
    generator = torch.Generator().manual_seed(0)
    masks = torch.stack([choose_classes(tensor([[0, 5, 9, 12]]), generator) for _ in range(600)])
    share = masks.float().mean(0)
    assert torch.allclose(share, torch.full((1, 4), 0.5), atol=0.08)


def test_void_only_chooses_nothing() -> None:
    assert not choose_classes(torch.full((2, 3), 255)).any()


def test_same_seed_same_mask() -> None:
    sem_seg = torch.randint(19, (8, 8))
    masks = [choose_classes(sem_seg, torch.Generator().manual_seed(4)) for _ in range(2)]
    assert torch.equal(*masks)


def test_paste_by_hand_for_labels_images_and_batches() -> None:
    mask = tensor([[True, False], [False, True]])
    assert paste(mask, tensor([[1, 2], [3, 4]]), tensor([[5, 6], [7, 8]])).tolist() == [[1, 6], [7, 4]]
    source, target = torch.zeros(3, 2, 2), torch.ones(3, 2, 2)
    assert torch.equal(paste(mask, source, target), (~mask).float().expand(3, 2, 2))
    masks = torch.stack([mask, ~mask])
    mixed = paste(masks, torch.zeros(2, 3, 2, 2), torch.ones(2, 3, 2, 2))
    assert torch.equal(mixed, (~masks).float()[:, None].expand(2, 3, 2, 2))


def test_paste_leaves_its_arguments_alone() -> None:
    source, target = torch.zeros(2, 2), torch.ones(2, 2)
    paste(tensor([[True, False], [False, True]]), source, target).fill_(9)
    assert source.sum() == 0 and target.sum() == 4


def test_paste_rejects_other_sizes() -> None:
    with pytest.raises(ValueError, match="same height and width"):
        paste(torch.ones(2, 2, dtype=torch.bool), torch.zeros(3, 2, 2), torch.zeros(3, 2, 4))
