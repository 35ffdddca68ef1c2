"""Agreement of student and teacher: PQ by hand, and when it is measured again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from ptseg_d2.classes.streets import CITYSCAPES
from ptseg_d2.recipe import agreement as agreement_module
from ptseg_d2.recipe.agreement import measure_agreement, note_agreement
from ptseg_d2.recipe.configs import load_recipe
from ptseg_d2.recipe.models import StageModels
from ptseg_d2.recipe.rounds import Round, rounds_of

import cv2
import numpy as np
import pytest
import torch
from tiny import CONFIGS
from torch import Tensor

ROAD, CAR, VOID = 0, 13, 255


def painted(batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A system that reads the class off the grey level: one segment for each, none for VOID."""
    return [
        {
            "panoptic_seg": (
                torch.where(grey == VOID, 0, grey + 1),
                [{"id": c + 1, "category_id": c, "isthing": c == CAR} for c in grey.unique().tolist() if c != VOID],
            )
        }
        for grey in (item["image"][0].long() for item in batch)
    ]


def scene(car: int, void: int = 0) -> Tensor:
    """(1, 32) road that begins with pixels of a car and of no class."""
    grey = torch.full((1, 32), ROAD, dtype=torch.uint8)
    grey[:, : car + void] = VOID
    grey[:, :car] = CAR
    return grey


def round_of(folder: Path, *overrides: str) -> Round:
    return rounds_of(load_recipe(CONFIGS / "selftrain_icm.yaml", ["OUTPUT_DIR", str(folder), *overrides]))[0]


def measured(
    folder: Path, clean: list[Tensor], noise: Callable[[Tensor], Tensor], patch: pytest.MonkeyPatch, most: int = 100
) -> float:
    dicts = []
    for number, grey in enumerate(clean):
        dicts.append({"file_name": str(folder / f"{number}.png"), "image_id": str(number)})
        cv2.imwrite(dicts[-1]["file_name"], np.repeat(grey[..., None].numpy(), 3, axis=2))
    patch.setattr(agreement_module, "target_images", lambda *_: (dicts, noise))
    models = SimpleNamespace(round_system=lambda *_: painted, classes=CITYSCAPES)
    return measure_agreement(cast(StageModels, models), round_of(folder, "RECIPE.AGREEMENT_IMAGES", str(most)))


def test_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The student sees a smaller car, on the same 6 pixels or also where the teacher is not sure."""

    def percent(clean: list[Tensor], noisy: Tensor, most: int = 100) -> float:
        return measured(tmp_path, clean, lambda image: noisy.expand(3, -1, -1), monkeypatch, most)

    same, road = scene(car=8), scene(car=0)
    assert percent([same], same) == pytest.approx(100)
    assert percent([same], scene(car=6)) == pytest.approx(100 * (6 / 8 + 24 / 26) / 2)
    # Void of the teacher is as that of labels: left out of the union. The student's void would not be.
    assert percent([scene(car=6, void=4)], scene(car=10)) == pytest.approx(100)
    assert percent([scene(car=10)], scene(car=6, void=4)) == pytest.approx(100 * (6 / 10 + 1) / 2)
    # The second image has no car, but the student sees one there: a false positive, and road of 26 pixels for 32.
    second = 100 * ((6 / 8) / 1.5 + (24 / 26 + 26 / 32) / 2) / 2
    assert percent([same, road], scene(car=6)) == pytest.approx(second)
    assert percent([same, road], scene(car=6), most=1) == pytest.approx(100 * (6 / 8 + 24 / 26) / 2)


def test_where_neither_finds_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert measured(tmp_path, [scene(car=0, void=32)], lambda image: image, monkeypatch) == 0


def test_only_the_student_sees_noise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, list[int]] = {"student": [], "teacher": []}

    def system(role: str) -> Callable[[list[dict[str, Any]]], list[dict[str, Any]]]:
        def predict(batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
            seen[role] += [int(item["image"].max()) for item in batch]
            return painted(batch)

        return predict

    cv2.imwrite(str(tmp_path / "0.png"), np.zeros((2, 3, 3), np.uint8))
    dicts = [{"file_name": str(tmp_path / "0.png"), "image_id": "0"}]
    monkeypatch.setattr(agreement_module, "target_images", lambda *_: (dicts, lambda image: image + 1))
    models = SimpleNamespace(round_system=lambda semantic, instance, role: system(role), classes=CITYSCAPES)
    assert measure_agreement(cast(StageModels, models), round_of(tmp_path)) == 0
    assert seen == {"student": [1], "teacher": [0]}


def test_it_is_kept_until_a_stage_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = round_of(tmp_path)
    values = iter([50.0, 60.0])
    monkeypatch.setattr(agreement_module, "measure_agreement", lambda *_: next(values))
    found = []
    for identity in ("first", "first", "second", "second"):
        for folder in (pair.semantic.folder, pair.instance.folder / "car"):
            folder.mkdir(parents=True, exist_ok=True)
        (pair.semantic.folder / "done.json").write_text(json.dumps({"id": "of the masks"}))
        (pair.instance.folder / "car" / "done.json").write_text(json.dumps({"id": identity}))
        found.append(note_agreement(cast(StageModels, None), pair))
    assert found == [50, 50, 60, 60]
