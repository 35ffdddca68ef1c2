"""Multi-band transfer: thresholds like the public code's sort, masks on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ptseg_d2.inference.ensemble import MeanOfNetworks
from ptseg_d2.pseudo_labels.multi_band import LEVELS, ConfidenceQuantiles
from ptseg_d2.recipe.target_files.masks import write_masks

import cv2
import numpy as np
import pytest
import torch
from torch import nn


def slow_thresholds(labels: np.ndarray, levels: np.ndarray, num_classes: int, quantile: float, cap: float) -> list[int]:
    """Sorts the confidences of every class."""
    thresholds = []
    for c in range(num_classes):
        found = np.sort(levels[labels == c])
        at = found[min(int(np.rint(quantile * len(found))), len(found) - 1)] if len(found) else 0
        thresholds.append(min(int(at), round(cap * LEVELS)))
    return thresholds


@pytest.mark.parametrize(("quantile", "cap"), [(0.66, 0.9), (0.0, 1.0), (1.0, 0.5), (0.5, 1.0)])
def test_thresholds_equal_a_sort(quantile: float, cap: float) -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice([0, 1, 3], (2, 9, 11)).astype(np.uint8)
    levels = rng.integers(0, LEVELS + 1, labels.shape).astype(np.uint16)
    quantiles = ConfidenceQuantiles(4, quantile, cap)
    for image in range(2):
        quantiles.update(labels[image], levels[image])
    assert quantiles.thresholds().tolist() == slow_thresholds(labels, levels, 4, quantile, cap)


def test_bad_options_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must be in \[0, 1\], got 1.2 and 0.9"):
        ConfidenceQuantiles(3, quantile=1.2)


class Constant(nn.Module):
    """Predicts the same logits everywhere, but class 0 with growing confidence to the right."""

    def __init__(self, logits: list[float]) -> None:
        super().__init__()
        self.logits = torch.tensor(logits)

    def forward(self, batched_inputs: list[dict[str, Any]]) -> list[dict[str, torch.Tensor]]:
        outputs = []
        for item in batched_inputs:
            logits = self.logits.view(-1, 1, 1).repeat(1, item["height"], item["width"])
            logits[0] += torch.arange(item["width"]) / item["width"]
            outputs.append({"sem_seg": logits})
        return outputs


@pytest.mark.parametrize("quantile", [None, 0.75])
def test_masks_keep_the_confident_quarter(world: Path, tmp_path: Path, quantile: float | None) -> None:
    files = sorted((world / "cityscapes" / "leftImg8bit" / "train").rglob("*.png"))[:2]
    dicts = [{"file_name": str(file), "image_id": file.stem} for file in files]
    dicts.append({"file_name": str(world / "missing.png"), "image_id": "gone"})
    network = MeanOfNetworks([Constant([5.0, 0.0])])
    quantiles = None if quantile is None else ConfidenceQuantiles(19, quantile, cap=1.0)
    index = write_masks(dicts, network, tmp_path / "masks", quantiles)
    assert json.loads((tmp_path / "masks" / "index.json").read_text()) == index
    assert index["skipped"] == ["gone"]
    assert sorted(p.name for p in (tmp_path / "masks").iterdir()) == ["000000.png", "000001.png", "index.json"]
    width = 128
    for found in index["images"].values():
        mask = cv2.imread(str(tmp_path / "masks" / found["mask"]), cv2.IMREAD_UNCHANGED)
        expected = np.where(np.arange(width) >= (0 if quantile is None else quantile * width), 0, 255)
        assert (mask == expected).all()
        assert found["class_shares"][0] == pytest.approx(1.0 if quantile is None else 0.25)
