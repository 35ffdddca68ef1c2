"""Networks and systems are known by what they can do, not by their base class."""

from __future__ import annotations

from typing import Any

from ptseg_d2.inference.clusterers import Clustering
from ptseg_d2.inference.instance_grouping import ComponentGrouping, EmbeddingGrouping, PanopticOptions
from ptseg_d2.inference.panoptic_model import PanopticModel
from ptseg_d2.inference.protocols import DensePredictor, PanopticSystem, StridedPredictor, as_predictor
from ptseg_d2.inference.unified_model import UnifiedPanopticModel
from ptseg_d2.prediction.images import predict_images
from ptseg_d2.training.early_stopping import ValidatedNetwork

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model
from tiny import small
from torch import nn


@pytest.mark.parametrize(
    ("config", "is_validated"),
    [
        ("semantic_source.yaml", False),
        ("semantic_selftrain.yaml", False),
        ("instance_source.yaml", False),
        ("selftrain_icm.yaml", False),
        ("panoptic_unet/minileaves_plain.yaml", True),
    ],
)
def test_our_networks_are_predictors(config: str, is_validated: bool) -> None:
    network = build_model(small(config))
    assert as_predictor(network) is network and isinstance(network, DensePredictor)
    assert isinstance(network, ValidatedNetwork) == is_validated


def test_students_and_teachers_are_strided_predictors() -> None:
    model = build_model(small("semantic_selftrain.yaml"))
    assert isinstance(model.student, StridedPredictor) and isinstance(model.teacher, StridedPredictor)


def test_a_network_without_maps_is_named() -> None:
    with pytest.raises(TypeError, match="Identity predicts no dense maps"):
        as_predictor(nn.Identity())


class Maps(nn.Module):
    """A network that is never asked."""

    def predict(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return {}


class AllRoad:
    """A system of somebody else: every pixel is road."""

    min_score = 0.0
    embedding_networks = None

    def __call__(self, batched_inputs: Any) -> list[dict[str, Any]]:
        return [self._one((item["height"], item["width"])) for item in batched_inputs]

    def _one(self, size: tuple[int, int]) -> dict[str, Any]:
        logits = torch.stack([torch.ones(size), torch.zeros(size)])
        return {"sem_seg": logits, "panoptic_seg": (torch.ones(size), [{"id": 1, "isthing": False}])}


def test_any_system_predicts_images() -> None:
    systems: list[PanopticSystem] = [AllRoad()]
    (found,) = predict_images(systems[0], [np.zeros((4, 6, 3), np.uint8)], max_pixels=100, batch_size=1)
    assert found.panoptic.tolist() == [[1] * 6] * 4 and found.sem_seg.tolist() == [[0] * 6] * 4


def test_ours_are_such_systems() -> None:
    def is_one(system: PanopticSystem) -> bool:
        return callable(system) and system.min_score == 0.5

    options: Any = None
    assert is_one(PanopticModel(Maps(), None, options, 0.5)) and is_one(UnifiedPanopticModel(nn.Identity(), 0.5))


def test_what_separates_objects_by_embeddings_says_so() -> None:
    options = PanopticOptions((1,), 0.0, 0.0)
    networks = [((1,), Maps())]
    grouping = EmbeddingGrouping(networks, options, Clustering("mean_shift", 0.5, 1.5))
    assert PanopticModel(Maps(), grouping, options).embedding_networks == networks
    others = PanopticModel(Maps(), ComponentGrouping(options), options), UnifiedPanopticModel(nn.Identity())
    assert [system.embedding_networks for system in others] == [None, None]
