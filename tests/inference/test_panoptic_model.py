"""From logits and instances to a panoptic result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ptseg_d2.data.labels import read_labels
from ptseg_d2.data.mappers import TestMapper
from ptseg_d2.inference.instance_grouping import ComponentGrouping, PanopticOptions
from ptseg_d2.inference.panoptic_model import PanopticModel
from ptseg_d2.results.oracle_masks import OracleMaskModel

import pytest
import torch
from detectron2.data import DatasetCatalog
from torch import Tensor, nn, tensor

OPTIONS = PanopticOptions((2,), min_thing_share=0, min_stuff_share=0)


class FixedLogits(nn.Module):
    """A semantic network that has seen everything: 0 left, 2 (a thing) elsewhere, less sure on the right."""

    def predict(self, images: Tensor) -> dict[str, Tensor]:
        probabilities = tensor([[1.0, 0.1, 0.4], [0.0, 0.1, 0.1], [0.0, 0.8, 0.5]])[:, None].expand(-1, 2, -1)
        return {"sem_seg": probabilities.clamp(min=1e-9).log()[None]}


class TwoColumns(ComponentGrouping):
    """One instance per thing column, both with the stability .5."""

    def __call__(self, image: Tensor, sem_seg: Tensor) -> tuple[Tensor, dict[int, float]]:
        """Whatever the image."""
        return tensor([[0, 1, 2]]).expand(2, -1).clone(), {1: 0.5, 2: 0.5}


def predict(min_score: float) -> tuple[list[list[int]], dict[int, float]]:
    item: dict[str, Any] = {"image": torch.zeros(3, 2, 3, dtype=torch.uint8), "height": 2, "width": 3}
    ids, segments = PanopticModel(FixedLogits(), TwoColumns(OPTIONS), OPTIONS, min_score)([item])[0]["panoptic_seg"]
    return ids.tolist(), {segment["id"]: segment["score"] for segment in segments if segment["isthing"]}


def test_score_is_stability_times_the_mean_probability() -> None:
    ids, scores = predict(0.0)
    assert ids == [[3, 1, 2]] * 2
    assert scores == {1: pytest.approx(0.4), 2: pytest.approx(0.25)}


def test_instances_of_a_low_score_become_void() -> None:
    ids, scores = predict(0.3)
    assert ids == [[2, 1, 0]] * 2  # stuff is numbered after the instances that are left
    assert scores == {1: pytest.approx(0.4)}
    assert predict(0.5)[1] == {}


def test_oracle_masks_are_the_labels(world: Path) -> None:
    item = TestMapper()(DatasetCatalog.get("miniscapes_cityscapes_labeled_val")[0])
    options = PanopticOptions((11, 12, 13, 14, 15, 16, 17, 18), min_thing_share=0, min_stuff_share=0)
    ids, segments = OracleMaskModel(ComponentGrouping(options), options)([item])[0]["panoptic_seg"]
    found = torch.full(ids.shape, 255)
    for segment in segments:
        found[ids == segment["id"]] = segment["category_id"]
    assert torch.equal(found, torch.from_numpy(read_labels(item).sem_seg).long())
