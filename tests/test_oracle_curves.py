"""Counts of true and false pseudo instances: by hand, and without an effect on the training."""

from __future__ import annotations

import json
from pathlib import Path

from ptseg_d2.data.streams import load_dataset
from ptseg_d2.data.targets import read_labels
from ptseg_d2.engine import stages
from ptseg_d2.engine.oracle_curves import count_matches
from ptseg_d2.engine.recipe import load_recipe

import cv2
import numpy as np
import pytest
import torch
from detectron2.config import CfgNode
from tiny import CONFIGS, TINY

TWIN = "miniscapes_cityscapes_labeled_train"


def test_counts_by_hand() -> None:
    """Class 13 = car, 11 = person. Instance 1 is found, 2 is cut in two, 3 is missed; one find is of another class and
    one lies on a group of cars."""
    true_ids = np.array([[1, 1, 1, 0, 2, 2, 2, 2, 0, 3, 3, 0, 4, -1, -1]])
    true_classes = np.array([[13, 13, 13, 0, 13, 13, 13, 13, 0, 13, 13, 0, 11, 13, 13]])
    pseudo_ids = np.array([[1, 1, 0, 0, 2, 2, 3, 3, 0, -1, 0, 0, 4, 5, 5]])
    predicted = np.full((1, 15), 13)
    found, wrong, missed = count_matches(pseudo_ids, predicted, true_classes, true_ids, {13})
    # IoU of 1 is 2/3; of both halves of 2 it is 1/2, not above; 4 is a person; 5 is ignored.
    assert (found, wrong, missed) == (1, 3, 2)


def test_nothing_found_and_nothing_there() -> None:
    nothing = np.zeros((2, 3), dtype=np.int64)
    assert count_matches(nothing, nothing, nothing, nothing, {13}) == (0, 0, 0)


@pytest.fixture
def masks(world: Path, tmp_path: Path) -> Path:
    """True classes of the target images in place of predicted ones."""
    folder = tmp_path / "masks"
    folder.mkdir()
    images = {}
    for number, item in enumerate(load_dataset((TWIN,), "test")):
        sem_seg = read_labels(item).sem_seg.astype(np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), sem_seg)
        shares = np.bincount(sem_seg.ravel(), minlength=256)[:19] / sem_seg.size
        images[item["image_id"]] = {"mask": f"{number}.png", "class_shares": shares.tolist()}
    (folder / "index.json").write_text(json.dumps({"images": images, "skipped": []}))
    return folder / "index.json"


def config(masks: Path, output: Path, *overrides: str) -> CfgNode:
    alone = ["RECIPE.INIT_FROM", "", "RECIPE.MASKS_FROM", "", "INPUT.PREDICTED_MASKS", str(masks)]
    return load_recipe(CONFIGS / "selftrain_icm.yaml", [*TINY, *alone, "OUTPUT_DIR", str(output), *overrides])[-1]


CURVES = ("INSTANCE.ORACLE_CURVES", TWIN, "INSTANCE.ORACLE_PERIOD", "2", "INSTANCE.ORACLE_IMAGES", "3")


def test_curves_are_written_and_change_nothing(masks: Path, tmp_path: Path) -> None:
    stages.train(config(masks, tmp_path / "without"), resume=False)
    stages.train(config(masks, tmp_path / "with", *CURVES), resume=False)
    names = [tmp_path / run / "instance_selftrain" for run in ("without", "with")]
    plain, watched = (torch.load(name / "model_final.pth", weights_only=False)["model"] for name in names)
    assert plain.keys() == watched.keys()
    assert all(torch.equal(torch.as_tensor(plain[name]), torch.as_tensor(watched[name])) for name in plain)
    lines = [json.loads(line) for line in (names[1] / "metrics.json").read_text().splitlines()]
    counts = {name: line[name] for line in lines for name in line if name.startswith("oracle/pseudo_")}
    assert sorted(counts) == [f"oracle/pseudo_{name}" for name in ("false_positives", "missed", "true_positives")]
    assert counts["oracle/pseudo_missed"] + counts["oracle/pseudo_true_positives"] > 0


def test_labels_of_other_images_are_refused(masks: Path, tmp_path: Path) -> None:
    cfg = config(masks, tmp_path, *CURVES, "INSTANCE.ORACLE_CURVES", "miniscapes_cityscapes_labeled_val")
    with pytest.raises(ValueError, match="ORACLE_CURVES = 'miniscapes_cityscapes_labeled_val' has no label"):
        stages.train(cfg, resume=False)
