"""Endless training data that is a pure function of (seed, position), so that a killed run resumes exactly.

Position p of a stream decides which image is drawn and every random number of its augmentation.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any

from ptseg_d2.data.samplers import MAX_BAD_DRAWS, ImageSampler, Sample
from ptseg_d2.errors import DataError
from ptseg_d2.random_states import seeded

import numpy as np
import torch
from detectron2.data.build import trivial_batch_collator
from detectron2.utils import comm
from torch.utils.data import DataLoader, Dataset, Sampler

logger = logging.getLogger(__name__)


class StreamDataset(Dataset):
    """Maps a stream position to a mapped image; unusable images are reported and replaced."""

    def __init__(
        self,
        dataset_dicts: Sequence[dict[str, Any]],
        mapper: Callable[[dict[str, Any]], dict[str, Any]],
        sampler: ImageSampler,
        seed: int,
    ) -> None:
        """
        Args:
            dataset_dicts: Detectron2's list of images.
            mapper: dataset dict -> model input; may use the global random generators, which are seeded here. The
                dict of an image drawn for a class also holds `focus_class`.
            sampler: chooses the image of a position.
            seed: of the whole stream.
        """
        self.dataset_dicts = dataset_dicts
        self.mapper = mapper
        self.sampler = sampler
        self.seed = seed
        self._reported: set[str] = set()

    def __getitem__(self, position: int) -> dict[str, Any]:
        """The mapped image of a stream position."""
        rng = np.random.default_rng((self.seed, position))
        sample = self.sampler(position, rng)
        for _ in range(MAX_BAD_DRAWS):
            item = self.dataset_dicts[sample.image_index]
            if sample.focus_class is not None:
                item = {**item, "focus_class": sample.focus_class}
            try:
                with seeded(int(rng.integers(2**31))):
                    return self.mapper(item)
            except (DataError, OSError) as error:
                self._report(item["file_name"], error)
                sample = Sample(int(rng.integers(len(self.dataset_dicts))))
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
