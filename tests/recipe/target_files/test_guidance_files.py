"""Instances that guide the next round: what is written of which image, by whom, and when it is made again."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from ptseg_d2.classes.streets import THING_IDS
from ptseg_d2.classes.tables import VOID
from ptseg_d2.data.dataset_dicts import load_dataset
from ptseg_d2.data.labels import read_labels
from ptseg_d2.errors import DataError, RecipeError
from ptseg_d2.inference.instance_grouping import ComponentGrouping, PanopticOptions
from ptseg_d2.inference.panoptic_model import PanopticModel
from ptseg_d2.pseudo_labels.guidance import ISLAND
from ptseg_d2.recipe.configs import load_config, load_recipe
from ptseg_d2.recipe.models import StageModels
from ptseg_d2.recipe.rounds import Round, rounds_of
from ptseg_d2.recipe.target_files.guidance import oracle_guide, predicted_guide, prepare_guidance, write_guidance

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny import CONFIGS
from torch import Tensor, nn

RECIPE = CONFIGS / "selftrain_icm.yaml"
ORACLE = ["RECIPE.GUIDANCE", "ground_truth", "RECIPE.ORACLE_GUIDANCE", "miniscapes_cityscapes_labeled_train"]
ROAD, PERSON, CAR = 0, 11, 13
NO_MODELS = cast(StageModels, None)  # true instances ask no model


def read(path: Path) -> NDArray[np.uint8]:
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))


def test_one_file_for_each_readable_image(tmp_path: Path) -> None:
    def guide(item: Any) -> NDArray[np.uint8]:
        if item["image_id"] == "b":
            raise DataError("b is no image")
        return np.full((2, 3), item["value"], np.uint8)

    dicts = [{"image_id": name, "value": value} for name, value in (("a", 13), ("b", 0), ("c", 255))]
    index = tmp_path / "guidance" / "index.json"
    write_guidance(dicts, guide, index, {"runs": ["x"]})
    assert json.loads(index.read_text()) == {
        "images": {"a": {"mask": "000000.png"}, "c": {"mask": "000001.png"}},
        "skipped": ["b"],
        "made_from": {"runs": ["x"]},
    }
    assert sorted(path.name for path in index.parent.iterdir()) == ["000000.png", "000001.png", "index.json"]
    assert read(index.parent / "000000.png").tolist() == [[13] * 3] * 2
    assert read(index.parent / "000001.png").tolist() == [[255] * 3] * 2


def test_an_error_leaves_the_guidance_of_before(tmp_path: Path) -> None:
    def fail(item: Any) -> NDArray[np.uint8]:
        raise RuntimeError("out of memory")

    index = tmp_path / "guidance" / "index.json"
    write_guidance([{"image_id": "a"}], lambda item: np.zeros((1, 1), np.uint8), index, {})
    with pytest.raises(RuntimeError, match="out of memory"):
        write_guidance([{"image_id": "a"}], fail, index, {"runs": []})
    assert json.loads(index.read_text())["made_from"] == {}


class Painted(nn.Module):
    """A semantic network that reads the class off the red channel."""

    def predict(self, images: Tensor) -> dict[str, Tensor]:
        return {"sem_seg": 9.0 * nn.functional.one_hot(images[:, 0].long(), 19).permute(0, 3, 1, 2)}


def test_predicted_instances_by_hand(tmp_path: Path) -> None:
    """A car of 6 pixels is an instance. One of 4 is too small for one (.15 of 32), a person of 1 pixel an island."""
    image = np.zeros((4, 8, 3), np.uint8)
    image[:2, :3, 0], image[:2, 5:7, 0], image[3, 4, 0] = CAR, CAR, PERSON
    cv2.imwrite(str(tmp_path / "image.png"), image[..., ::-1])
    options = PanopticOptions((PERSON, CAR), min_thing_share=0.15, min_stuff_share=0.0)
    model = PanopticModel(Painted(), ComponentGrouping(options), options)
    models = SimpleNamespace(round_system=lambda *pair: model, classes=SimpleNamespace(thing_ids=(PERSON, CAR)))
    pair = load_recipe(RECIPE, ["INSTANCE.MIN_MASK_AREA", "0.1"])[-2:]  # islands have fewer than 3 pixels
    guide = predicted_guide(cast(StageModels, models), Round(pair[0], pair[1]))
    with torch.no_grad():
        found = guide({"file_name": str(tmp_path / "image.png"), "image_id": "a"})
    expected = np.full((4, 8), VOID)
    expected[:2, :3], expected[3, 4] = CAR, ISLAND
    assert found.tolist() == expected.tolist() and found.dtype == np.uint8


def test_guidance_is_made_again_when_what_it_is_made_from_changes(world: Path, tmp_path: Path) -> None:
    """Not for a second command with the same settings."""
    made = []
    for share, seed in (("1.0", "7"), ("1.0", "7"), ("0.5", "7"), ("0.5", "8")):
        options = [*ORACLE, "RECIPE.ROUNDS", "2", "OUTPUT_DIR", str(tmp_path), "SEED", seed]
        options += ["RECIPE.ORACLE_GUIDANCE_SHARE", share]
        cfg, stages = load_config(RECIPE, options), load_recipe(RECIPE, options)
        first, second = rounds_of(stages)
        prepare_guidance(cfg, NO_MODELS, first, first.semantic.inputs.guidance)  # the first round is not guided
        prepare_guidance(cfg, NO_MODELS, first, second.semantic.inputs.guidance)
        index = Path(second.semantic.inputs.guidance)
        assert index == tmp_path / "oracle_guidance" / "index.json"
        content = json.loads(index.read_text())
        assert content["made_from"] == {"labels": ORACLE[-1], "share": float(share), "seed": int(seed)}
        assert len(content["images"]) == 6
        mark = index.with_name("of this time")  # goes with the folder
        made.append(not mark.exists())
        mark.touch()
    assert made == [True, False, True, True]


def test_oracle_guidance_is_a_share_of_the_true_instances(world: Path) -> None:
    overrides = [*ORACLE, "RECIPE.ROUNDS", "2", "RECIPE.ORACLE_GUIDANCE_SHARE"]
    dicts = load_dataset(("miniscapes_cityscapes_unlabeled_train",), "DATASETS.TARGET")
    labelled = load_dataset(("miniscapes_cityscapes_labeled_train",), "DATASETS.TARGET")
    everything, some = (oracle_guide(load_config(RECIPE, [*overrides, share])) for share in ("1.0", "0.5"))
    kept = []
    for item, truth in zip(dicts, labelled):
        labels = read_labels(truth)
        is_instance = np.isin(labels.sem_seg, THING_IDS) & (labels.instance_ids > 0)
        assert np.array_equal(everything(item), np.where(is_instance, labels.sem_seg, VOID))
        part = some(item)
        for number in np.unique(labels.instance_ids[is_instance]):
            values = set((part != VOID)[is_instance & (labels.instance_ids == number)].tolist())
            assert len(values) == 1  # an instance is shown as a whole or not at all
            kept.append(values.pop())
        assert (part[~is_instance] == VOID).all()
    assert 0.2 < np.mean(kept) < 0.8 and len(kept) > 20


def test_oracle_guidance_of_another_data_set(world: Path) -> None:
    overrides = ["RECIPE.ORACLE_GUIDANCE", "miniscapes_cityscapes_labeled_val"]
    guide = oracle_guide(load_config(RECIPE, overrides))
    with pytest.raises(RecipeError, match="has no image .*; name the labelled twin of"):
        guide(load_dataset(("miniscapes_cityscapes_unlabeled_train",), "DATASETS.TARGET")[0])
