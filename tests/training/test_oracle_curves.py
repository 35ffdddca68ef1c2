"""Counts of true and false pseudo instances: by hand, and without an effect on the training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ptseg_d2.classes.streets import THING_IDS
from ptseg_d2.classes.tables import VOID
from ptseg_d2.data.dataset_dicts import load_dataset
from ptseg_d2.data.labels import read_labels
from ptseg_d2.modeling.embedding_net import shrink_labels
from ptseg_d2.modeling.teachers.embedding_teacher import EmbeddingMomentumTeacher
from ptseg_d2.recipe import stage_work as stages
from ptseg_d2.recipe.configs import load_recipe
from ptseg_d2.stages import StageRun
from ptseg_d2.training.oracle_curves import count_matches

import numpy as np
import pytest
import torch
from tiny import CONFIGS, TINY
from torch import Tensor

TWIN = "miniscapes_cityscapes_labeled_train"
ROAD = 0


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


@pytest.mark.parametrize("num_void", [2, 3])
def test_mostly_void_does_not_count(num_void: int) -> None:
    """A find of five pixels beside the only car; a person is of another group and cannot be missed."""
    true_ids = np.array([[0, 0, 0, 0, 0, 1, 2]])
    true_classes = np.array([[VOID] * num_void + [0] * (5 - num_void) + [13, 11]])
    pseudo_ids = np.array([[1, 1, 1, 1, 1, 0, 0]])
    counts = count_matches(pseudo_ids, np.full((1, 7), 13), true_classes, true_ids, {13})
    assert counts == (0, int(num_void == 2), 1)


def test_counts_equal_a_loop() -> None:
    """Random maps of true instances with gaps in their numbers and of finds that are parts of them."""
    rng = np.random.default_rng(0)
    seen = np.zeros(3, dtype=int)
    for _ in range(20):
        true_ids = 7 * rng.integers(-1, 4, (3, 4)).repeat(5, 0).repeat(3, 1)
        true_classes = np.where(true_ids > 0, 11 + true_ids // 7 % 3, rng.choice([0, VOID], true_ids.shape))
        predicted = np.where(rng.random(true_ids.shape) < 0.8, true_classes, 11)
        # A find for each pair of a true instance (or none of them) and a predicted class.
        pseudo_ids = np.where(rng.random(true_ids.shape) < 0.9, 20 * (predicted % 32) + true_ids // 7 + 2, -1)
        pseudo_ids[predicted == VOID] = 0
        found = wrong = 0
        for number in set(pseudo_ids[pseudo_ids > 0].tolist()):
            own = pseudo_ids == number
            same = predicted[own][0] == true_classes
            truths = [true_ids == other for other in set(true_ids[true_ids > 0].tolist())]
            overlaps = [(own & truth & same).sum() for truth in truths]
            unions = [own.sum() + truth.sum() - overlap for truth, overlap in zip(truths, overlaps)]
            if any(2 * overlap > union for overlap, union in zip(overlaps, unions)):
                found += 1
            elif ((true_ids < 0) | (true_classes == VOID))[own].mean() <= 0.5:
                wrong += 1
        wanted = len(set(true_ids[(true_ids > 0) & np.isin(true_classes, [11, 12, 13])].tolist()))
        expected = (found, wrong, wanted - found)
        assert count_matches(pseudo_ids, predicted, true_classes, true_ids, {11, 12, 13}) == expected
        seen += np.array(expected) > 0
    assert seen.min() > 0


def test_nothing_found_and_nothing_there() -> None:
    nothing = np.zeros((2, 3), dtype=np.int64)
    assert count_matches(nothing, nothing, nothing, nothing, {13}) == (0, 0, 0)


def run_of(masks: Path, output: Path, *overrides: str) -> StageRun:
    alone = ["RECIPE.INIT_FROM", "", "RECIPE.MASKS_FROM", "", "INPUT.PREDICTED_MASKS", str(masks)]
    return load_recipe(CONFIGS / "selftrain_icm.yaml", [*TINY, *alone, "OUTPUT_DIR", str(output), *overrides])[-1]


CURVES = ("EVAL.ORACLE_CURVES", TWIN, "EVAL.ORACLE_PERIOD", "2", "EVAL.ORACLE_IMAGES", "3")


def test_curves_are_written_and_change_nothing(masks: Path, tmp_path: Path) -> None:
    stages.train(run_of(masks, tmp_path / "without"), resume=False)
    stages.train(run_of(masks, tmp_path / "with", *CURVES), resume=False)
    names = [tmp_path / run / "instance_selftrain" for run in ("without", "with")]
    plain, watched = (torch.load(name / "model_final.pth", weights_only=False)["model"] for name in names)
    assert plain.keys() == watched.keys()
    assert all(torch.equal(torch.as_tensor(plain[name]), torch.as_tensor(watched[name])) for name in plain)
    lines = [json.loads(line) for line in (names[1] / "metrics.json").read_text().splitlines()]
    counts = {name: line[name] for line in lines for name in line if name.startswith("oracle/pseudo_")}
    assert sorted(counts) == [f"oracle/pseudo_{name}" for name in ("false_positives", "missed", "true_positives")]
    assert counts["oracle/pseudo_missed"] + counts["oracle/pseudo_true_positives"] > 0


def test_counts_of_known_finds_before_the_teacher_is_copied(
    masks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The finds are the true instances but one, and the road; student and teacher still differ when they count."""
    truths = []
    for item in load_dataset((TWIN,), "test"):
        sem_seg, instance_ids = (shrink_labels(torch.from_numpy(v)[None], (32, 64))[0] for v in read_labels(item))
        truths.append(instance_ids * torch.isin(sem_seg, torch.tensor(THING_IDS)))
    num_differing: list[int] = []

    def find(model: EmbeddingMomentumTeacher, teacher: Tensor, student: Tensor, sem_seg: Tensor) -> Any:
        assert sem_seg.shape == (32, 64) and (sem_seg == ROAD).any()
        found = truths[len(num_differing)].clamp(min=0)
        highest = int(found.max())
        found = found.masked_fill(found == highest, 0).masked_fill(sem_seg == ROAD, highest + 1)
        pairs = zip(model.student.parameters(), model.teacher.parameters())
        num_differing.append(sum(not torch.equal(*pair) for pair in pairs))
        return found, {}

    monkeypatch.setattr(EmbeddingMomentumTeacher, "target_losses", lambda *_: {})
    monkeypatch.setattr(EmbeddingMomentumTeacher, "pseudo_instances", find)
    every = ("EVAL.ORACLE_IMAGES", "6", "INSTANCE.REFRESH_INTERVAL", "2", "INSTANCE.TEACHER", "frozen")
    stages.train(run_of(masks, tmp_path, *CURVES, *every), resume=False)
    assert len(num_differing) == 6 and min(num_differing) > 0
    lines = (tmp_path / "instance_selftrain" / "metrics.json").read_text().splitlines()
    counts = {name: value for line in lines for name, value in json.loads(line).items() if "oracle/" in name}
    sizes = [len(set(truth[truth > 0].tolist())) for truth in truths]
    assert counts == {
        "oracle/pseudo_true_positives": sum(max(0, size - 1) for size in sizes),
        "oracle/pseudo_false_positives": 6,
        "oracle/pseudo_missed": sum(size > 0 for size in sizes),
    }


def test_a_period_below_1_is_refused(masks: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"ORACLE_PERIOD = 0 iterations; expected 1 or more"):
        stages.train(run_of(masks, tmp_path, *CURVES, "EVAL.ORACLE_PERIOD", "0"), resume=False)


def test_labels_of_other_images_are_refused(masks: Path, tmp_path: Path) -> None:
    run = run_of(masks, tmp_path, *CURVES, "EVAL.ORACLE_CURVES", "miniscapes_cityscapes_labeled_val")
    with pytest.raises(ValueError, match="ORACLE_CURVES = 'miniscapes_cityscapes_labeled_val' has no label"):
        stages.train(run, resume=False)
