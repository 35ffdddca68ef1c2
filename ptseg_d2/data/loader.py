"""Endless training data that is a pure function of (seed, position), so that a killed run resumes exactly.

Position p of a stream decides which image is drawn and every random number of its augmentation.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any, Protocol

from ptseg_d2.data.targets import DataError

import numpy as np
import torch
from detectron2.data.build import trivial_batch_collator
from detectron2.utils import comm
from torch.utils.data import DataLoader, Dataset, Sampler

logger = logging.getLogger(__name__)

MAX_BAD_DRAWS = 20
"""Unusable images in a row after which a data set is given up."""


class Draw(Protocol):
    """Chooses an image: a position in the stream and a random generator -> an index."""

    def __call__(self, position: int, rng: np.random.Generator) -> int: ...


class StreamDataset(Dataset):
    """Maps a stream position to a mapped image; unusable images are reported and replaced."""

    def __init__(
        self,
        dataset_dicts: Sequence[dict[str, Any]],
        mapper: Callable[[dict[str, Any]], dict[str, Any]],
        draw: Draw,
        seed: int,
    ) -> None:
        """
        Args:
            dataset_dicts: Detectron2's list of images.
            mapper: dataset dict -> model input; may use the global random generators, which are seeded here.
            draw: chooses the image of a position.
            seed: of the whole stream.
        """
        self.dataset_dicts = dataset_dicts
        self.mapper = mapper
        self.draw = draw
        self.seed = seed
        self._reported: set[str] = set()

    def __getitem__(self, position: int) -> dict[str, Any]:
        """The mapped image of a stream position."""
        rng = np.random.default_rng((self.seed, position))
        index = self.draw(position, rng)
        for _ in range(MAX_BAD_DRAWS):
            item = self.dataset_dicts[index]
            try:
                with seeded(int(rng.integers(2**31))):
                    return self.mapper(item)
            except (DataError, OSError) as error:
                self._report(item["file_name"], error)
                index = int(rng.integers(len(self.dataset_dicts)))
        raise DataError(
            f"{MAX_BAD_DRAWS} images in a row could not be used, the last one {item['file_name']}; "
            "the warnings above say why. Check the data set."
        )

    def _report(self, file_name: str, error: Exception) -> None:
        if file_name not in self._reported:
            self._reported.add(file_name)
            logger.warning("Skipping a training image: %s", error)


class PositionSampler(Sampler[int]):
    """Positions of this process: start, start + 1, ... interleaved over the processes."""

    def __init__(self, start: int) -> None:
        """
        Args:
            start: position of the first image over all processes.
        """
        self.start = start

    def __iter__(self) -> Iterator[int]:
        return count(self.start + comm.get_rank(), comm.get_world_size())


class JointLoader:
    """Yields one list per step with `batch_size` images of every stream; starts at step `start_step`.

    `start_step` may be set until the first batch is asked for: a resumed trainer knows its iteration
    only after the loader was built.
    """

    def __init__(self, streams: Sequence[tuple[Dataset, int]], num_workers: int) -> None:
        """
        Args:
            streams: data sets with their number of images per step over all processes; 0 is left out.
            num_workers: loading processes per stream.
        """
        for _, size in streams:
            if size % comm.get_world_size():
                raise ValueError(f"{size} images per step do not divide over {comm.get_world_size()} processes")
        self.streams = [(dataset, size) for dataset, size in streams if size > 0]
        self.num_workers = num_workers
        self.start_step = 0

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:
        # Not Detectron2's build_batch_data_loader: there the number of workers decides what is in a batch.
        loaders = [
            DataLoader(
                dataset,
                batch_size=size // comm.get_world_size(),
                sampler=PositionSampler(self.start_step * size),
                num_workers=self.num_workers,
                collate_fn=trivial_batch_collator,
                generator=torch.Generator(),  # else it draws from the global one, at another time after a resume
            )
            for dataset, size in self.streams
        ]
        for batches in zip(*loaders):
            yield [item for batch in batches for item in batch]


def shuffled(num_images: int, seed: int) -> Draw:
    """Every image once per epoch, in a new order each epoch."""

    def draw(position: int, rng: np.random.Generator) -> int:
        epoch, place = divmod(position, num_images)
        return int(np.random.default_rng((seed, epoch)).permutation(num_images)[place])

    return draw


def by_importance(class_shares: np.ndarray, uniform: float) -> Draw:
    """Class uniformly, then image by its share of that class's pixels (SAC, algorithms.md 1.4).

    Args:
        class_shares: (images, C) pixels of each class in each image, any unit. Classes that occur
            nowhere are not drawn.
        uniform: share of uniform sampling in each class's weights, in [0, 1].
    """
    totals = class_shares.sum(axis=0)
    shares = class_shares[:, totals > 0] / totals[totals > 0]
    if shares.shape[1] == 0:
        raise DataError("no class occurs in any predicted mask: the semantic network predicts nothing")
    weights = uniform / len(class_shares) + (1 - uniform) * shares
    cumulative = np.cumsum(weights, axis=0)

    def draw(position: int, rng: np.random.Generator) -> int:
        column = cumulative[:, rng.integers(cumulative.shape[1])]
        return min(int(np.searchsorted(column, rng.random() * column[-1])), len(column) - 1)

    return draw


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed Python's, NumPy's and torch's global generators, and put back their states afterwards."""
    states = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
    random.seed(seed)
    np.random.seed(seed)
    torch.random.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.random.set_rng_state(states[2])
