"""The stream is a pure function of (seed, position): interrupting it anywhere changes nothing."""

from __future__ import annotations

import logging
from itertools import islice
from typing import Any

from ptseg_d2.data.loader import JointLoader, PositionSampler, StreamDataset
from ptseg_d2.data.samplers import Sample, shuffled
from ptseg_d2.errors import DataError
from ptseg_d2.random_states import seeded

import numpy as np
import pytest
import torch

DICTS = [{"file_name": f"{i}.png", "number": i} for i in range(5)]


def draw_numbers(item: dict[str, Any]) -> dict[str, Any]:
    """A mapper that uses all three global generators, as augmentations do."""
    return {"number": item["number"], "noise": (np.random.random(), float(torch.rand(())))}


def stream(mapper: Any = draw_numbers, seed: int = 1) -> StreamDataset:
    return StreamDataset(DICTS, mapper, shuffled(len(DICTS), seed), seed)


def test_resumed_loader_continues_where_it_stopped() -> None:
    whole = list(islice(JointLoader([(stream(), 2), (stream(seed=9), 1)], num_workers=0), 6))
    resumed = JointLoader([(stream(), 2), (stream(seed=9), 1)], num_workers=0)
    resumed.start_step = 4
    assert list(islice(resumed, 2)) == whole[4:]


def test_start_step_may_be_set_after_iter() -> None:
    whole = list(islice(JointLoader([(stream(), 2)], num_workers=0), 4))
    loader = JointLoader([(stream(), 2)], num_workers=0)
    iterator = iter(loader)  # Detectron2's trainer does this before the checkpoint is read
    loader.start_step = 3
    assert next(iterator) == whole[3]


def test_workers_give_the_same_batches() -> None:
    alone = list(islice(JointLoader([(stream(), 2)], num_workers=0), 4))
    assert list(islice(JointLoader([(stream(), 2)], num_workers=2), 4)) == alone


def test_batch_larger_than_the_data_set_repeats_it() -> None:
    first = next(iter(JointLoader([(stream(), 12)], num_workers=0)))
    counts = np.bincount([item["number"] for item in first], minlength=5)
    assert counts.sum() == 12 and (counts >= 2).all()


def test_mapper_learns_the_class_an_image_was_drawn_for() -> None:
    seen: list[dict[str, Any]] = []

    def mapper(item: dict[str, Any]) -> dict[str, Any]:
        seen.append(item)
        if len(seen) == 1:
            raise DataError("truncated")
        return item

    dataset = StreamDataset(DICTS, mapper, lambda position, rng: Sample(3, focus_class=16), seed=1)
    assert "focus_class" not in dataset[0]  # the replacement of a bad image was drawn for no class
    assert seen[0] == {**DICTS[3], "focus_class": 16}
    assert "focus_class" not in DICTS[3]


def test_streams_without_images_are_left_out() -> None:
    assert len(next(iter(JointLoader([(stream(), 3), (stream(), 0)], num_workers=0)))) == 3


def test_positions_are_interleaved_over_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ptseg_d2.data.loader.comm.get_world_size", lambda: 2)
    monkeypatch.setattr("ptseg_d2.data.loader.comm.get_rank", lambda: 1)
    assert list(islice(PositionSampler(6), 3)) == [7, 9, 11]


def test_bad_image_is_reported_once_and_replaced(caplog: pytest.LogCaptureFixture) -> None:
    def mapper(item: dict[str, Any]) -> dict[str, Any]:
        if item["number"] == 2:
            raise DataError("2.png is truncated")
        return item

    dataset = stream(mapper)
    with caplog.at_level(logging.WARNING):
        numbers = [dataset[position]["number"] for position in range(20)]
    assert 2 not in numbers
    assert [record.getMessage() for record in caplog.records] == ["Skipping a training image: 2.png is truncated"]


def test_all_images_bad_is_an_error_that_names_one() -> None:
    def mapper(item: dict[str, Any]) -> dict[str, Any]:
        raise DataError(f"{item['file_name']} is truncated")

    with pytest.raises(DataError, match=r"images in a row could not be used, the last one \d\.png"):
        stream(mapper)[0]


def test_seeded_leaves_the_global_generators_as_they_were() -> None:
    torch.manual_seed(5)
    np.random.seed(5)
    expected = float(torch.rand(())), np.random.random()
    torch.manual_seed(5)
    np.random.seed(5)
    with seeded(99):
        first = float(torch.rand(())), np.random.random()
    assert (float(torch.rand(())), np.random.random()) == expected
    with seeded(99):
        assert (float(torch.rand(())), np.random.random()) == first
