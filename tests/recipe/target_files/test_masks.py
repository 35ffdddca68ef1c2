"""Class masks of target images: their files, the shares of their classes, and which ones a stage takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ptseg_d2.classes.tables import VOID
from ptseg_d2.data.dataset_dicts import load_dataset
from ptseg_d2.inference.ensemble import MeanOfNetworks
from ptseg_d2.pseudo_labels.multi_band import ConfidenceQuantiles
from ptseg_d2.recipe.configs import load_recipe
from ptseg_d2.recipe.target_files.masks import predict_masks, predicted_share, write_masks
from ptseg_d2.stages import StageRun

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny import CONFIGS, small
from torch import nn

TARGET = "miniscapes_cityscapes_unlabeled_train"


def read(path: Path) -> NDArray[np.uint8]:
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))


class Levels(nn.Module):
    """Class k where the green channel is k (mod 5), with growing logits; must be in evaluation mode."""

    def forward(self, batched_inputs: list[dict[str, Any]]) -> list[dict[str, torch.Tensor]]:
        assert not self.training
        classes = [item["image"][1].long() % 5 for item in batched_inputs]
        return [{"sem_seg": 9.0 * nn.functional.one_hot(c, 19).permute(2, 0, 1)} for c in classes]


def test_predicted_classes_are_written_with_their_shares(world: Path, tmp_path: Path) -> None:
    """One file per readable image, counted without gaps, in the order of the data set."""
    dicts = load_dataset((TARGET,), "test")
    Path(dicts[1]["file_name"]).write_bytes(b"no image")
    cfg = small("semantic_source.yaml", "OUTPUT_DIR", str(tmp_path))
    predict_masks(cfg, Levels().train())
    folder = tmp_path / "target_masks"
    index = json.loads((folder / "index.json").read_text())
    assert index["skipped"] == [dicts[1]["image_id"]]
    readable = [dicts[0], *dicts[2:]]
    assert list(index["images"]) == [item["image_id"] for item in readable]
    for number, item in enumerate(readable):
        entry = index["images"][item["image_id"]]
        expected = cv2.imread(item["file_name"])[..., 1] % 5
        mask = read(folder / f"{number:06d}.png")
        assert entry["mask"] == f"{number:06d}.png" and mask.dtype == np.uint8 and np.array_equal(mask, expected)
        assert entry["class_shares"] == [float((expected == k).mean()) for k in range(19)]
    assert len(list(folder.iterdir())) == len(readable) + 1


def test_masks_of_an_earlier_time_are_replaced(world: Path, tmp_path: Path) -> None:
    dicts = load_dataset((TARGET,), "test")
    for count in (3, 1):
        index = write_masks(dicts[:count], Levels(), tmp_path / "masks")
        assert json.loads((tmp_path / "masks" / "index.json").read_text()) == index
        assert len(list((tmp_path / "masks").glob("*.png"))) == len(index["images"]) == count


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


def test_unsure_pixels_belong_to_no_class(world: Path, tmp_path: Path) -> None:
    """Thresholds are per class and over all images: of two classes with one confidence each, nothing goes."""
    dicts = load_dataset((TARGET,), "test")[:2]
    network = MeanOfNetworks([Levels()])
    plain = write_masks(dicts, network, tmp_path / "plain")
    sure = write_masks(dicts, network, tmp_path / "sure", ConfidenceQuantiles(19, 0.5, cap=1.0))
    assert plain == sure
    for entry in plain["images"].values():
        before, after = (read(tmp_path / name / entry["mask"]) for name in ("plain", "sure"))
        assert np.array_equal(before, after) and (before != VOID).all()


@pytest.mark.parametrize("group", [["car"], ["car", "person"], []])
def test_share_of_a_group(group: list[str], masks: Path) -> None:
    """The mean over the images; [] = all things."""
    cfg = small("selftrain_icm.yaml", "INPUT.PREDICTED_MASKS", str(masks))
    run = StageRun.from_config(cfg).of_group(group)
    ids = {"car": [13], "person": [11]}
    wanted = [i for name in group for i in ids[name]] or list(range(11, 19))
    shares = [np.isin(read(path), wanted).mean() for path in sorted(masks.parent.glob("*.png"))]
    assert len(shares) == 6 and 0 < predicted_share(run) < 1
    assert predicted_share(run) == pytest.approx(np.mean(shares))


@pytest.mark.parametrize(
    ("key", "name", "field", "folder"),
    [
        ("PREDICTED_MASKS", "MASKS_FROM", "masks", "target_masks"),
        ("DETECTIONS", "DETECTIONS_FROM", "detections", "target_detections"),
    ],
)
def test_files_of_another_stage(key: str, name: str, field: str, folder: str) -> None:
    """Those that the user names come first."""
    overrides = ["RECIPE.NEEDS_DIR", "shared", "OUTPUT_DIR", "mine", "RECIPE.MASKS_FROM", "", f"RECIPE.{name}"]

    def found(*words: str) -> str:
        (run,) = load_recipe(CONFIGS / "semantic_source.yaml", [*overrides, *words])
        return str(getattr(run.inputs, field))

    assert found("teacher") == f"shared/teacher/{folder}/index.json"
    assert found("") == ""
    assert found("teacher", f"INPUT.{key}", "theirs/index.json") == "theirs/index.json"
