"""Class centres: initialised at first sight, a moving average after it, the same in every process."""

from __future__ import annotations

import os
from pathlib import Path

from ptseg_d2.modeling.einet.semantic_dictionary import SemanticDictionary, class_sums

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, multiprocessing, tensor

NUM_PROCESSES = 2


def batch(seed: int, num_images: int = 2) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 5, (num_images, 4, 6), generator=generator)
    labels[labels == 4] = 255
    return torch.randn(num_images, 3, 4, 6, generator=generator), labels


def slow_update(centers: dict[int, Tensor], embeddings: Tensor, labels: Tensor, momentum: float) -> None:
    for category in labels.unique().tolist():
        if category == 255:
            continue
        pixels = [embeddings[n, :, y, x] for n, y, x in (labels == category).nonzero().tolist()]
        mean = torch.stack(pixels).mean(0)
        old = centers.get(category)
        centers[category] = mean if old is None else momentum * old + (1 - momentum) * mean


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_update_is_that_of_a_slow_loop(momentum: float) -> None:
    dictionary, expected = SemanticDictionary(6, 3, momentum), dict[int, Tensor]()
    for seed in range(3):
        embeddings, labels = batch(seed)
        if seed == 0:
            labels[labels == 2] = 255  # class 2 comes later
        dictionary.update_(embeddings, labels)
        slow_update(expected, embeddings, labels, momentum)
    assert dictionary.seen.tolist() == [True] * 4 + [False] * 2
    for category, center in expected.items():
        torch.testing.assert_close(dictionary.centers[category], center)
    assert not dictionary.centers[4:].any()


def test_moving_average_by_hand() -> None:
    """First sight 2, then .9 * 2 + .1 * 12 = 3; a class that is absent keeps its centre."""
    dictionary = SemanticDictionary(2, 1, 0.9)
    dictionary.update_(tensor([1.0, 3.0, 5.0]).view(1, 1, 1, 3), tensor([[[0, 0, 1]]]))
    assert dictionary.centers.tolist() == [[2], [5]]
    dictionary.update_(tensor([12.0, 12.0, 100.0]).view(1, 1, 1, 3), tensor([[[0, 0, 255]]]))
    torch.testing.assert_close(dictionary.centers, tensor([[3.0], [5.0]]))


def test_nothing_labelled_changes_nothing() -> None:
    dictionary = SemanticDictionary(2, 1, 0.9)
    dictionary.update_(torch.ones(1, 1, 2, 2), torch.full((1, 2, 2), 255))
    assert not dictionary.seen.any() and not dictionary.centers.any()


def test_similarity_is_a_cosine_from_the_middle() -> None:
    """Centres (1, 1) and (3, 1) have the middle (2, 1): a pixel (5, 1) lies where the second does."""
    dictionary = SemanticDictionary(3, 2, 0.9)
    dictionary.centers[:2] = tensor([[1.0, 1.0], [3.0, 1.0]])
    dictionary.seen[:2] = True
    pixels = tensor([[5.0, 1.0], [2.0, 9.0]]).T.view(1, 2, 1, 2)
    similarity = dictionary.similarity(pixels)
    assert similarity[0, :, 0].T.tolist() == [[-1, 1, 0], [0, 0, 0]]
    recalled = dictionary.recall(similarity, 100.0)[0, :, 0].T
    torch.testing.assert_close(recalled, tensor([[1.0, 0.0], [0.0, 0.0]]))


def test_an_empty_dictionary_says_nothing_and_is_finite() -> None:
    dictionary = SemanticDictionary(3, 2, 0.9)
    pixels = torch.randn(1, 2, 2, 2, requires_grad=True)
    similarity = dictionary.similarity(pixels)
    recalled = dictionary.recall(similarity, 5.0)
    assert not similarity.any() and not recalled.any()
    (similarity.sum() + recalled.sum()).backward()
    assert pixels.grad is not None and pixels.grad.isfinite().all()


def test_sums_ignore_void() -> None:
    sums, counts = class_sums(tensor([[[[1.0, 2.0, 4.0]]]]), tensor([[[1, 255, 1]]]), 2)
    assert sums.tolist() == [[0], [5]] and counts.tolist() == [0, 2]


def test_state_survives_a_checkpoint() -> None:
    dictionary, other = SemanticDictionary(5, 3, 0.9), SemanticDictionary(5, 3, 0.9)
    dictionary.update_(*batch(0))
    other.load_state_dict(dictionary.state_dict())
    assert torch.equal(other.centers, dictionary.centers) and torch.equal(other.seen, dictionary.seen)
    assert list(dictionary.parameters()) == []


def test_momentum_outside_its_range_names_the_key() -> None:
    with pytest.raises(ValueError, match=r"MODEL.EINET.DICTIONARY_MOMENTUM = 1.0; expected a number in \[0, 1\)"):
        SemanticDictionary(2, 2, 1.0)


def one_process(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=NUM_PROCESSES)
    dictionary = SemanticDictionary(5, 3, 0.9)
    for step in range(2):
        embeddings, labels = batch(step, 3)
        # Unequal shares: the mean of the means would be another number.
        part = slice(0, 1) if rank == 0 else slice(1, 3)
        dictionary.update_(embeddings[part], labels[part])
    torch.save(dictionary.state_dict(), os.path.join(folder, f"{rank}.pth"))
    dist.destroy_process_group()


@pytest.mark.skipif(not dist.is_available(), reason="torch was built without distributed")
def test_two_processes_learn_what_one_does_of_all_images(tmp_path: Path) -> None:
    multiprocessing.spawn(one_process, (str(tmp_path),), nprocs=NUM_PROCESSES)
    alone = SemanticDictionary(5, 3, 0.9)
    for step in range(2):
        alone.update_(*batch(step, 3))
    states = [torch.load(tmp_path / f"{rank}.pth") for rank in range(NUM_PROCESSES)]
    for name, value in alone.state_dict().items():
        assert torch.equal(states[0][name], states[1][name])
        torch.testing.assert_close(states[0][name], value)
