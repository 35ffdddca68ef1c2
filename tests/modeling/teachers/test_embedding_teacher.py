"""The consistency loss inside instance self-training."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from ptseg_d2.modeling.building import build_stage_model
from ptseg_d2.modeling.teachers.embedding_teacher import EmbeddingMomentumTeacher
from ptseg_d2.modeling.teachers.rotation import turned_embeddings
from ptseg_d2.stages import StageInputs

import cv2
import numpy as np
import pytest
import torch
from detectron2.utils.events import EventStorage
from odd_files import noise
from tiny import small
from torch import Tensor
from torch.nn import functional as F

CONSISTENCY = "loss_consistency_target"


def build(weight: float, rotation: float = 0.0, group: tuple[str, ...] = ()) -> EmbeddingMomentumTeacher:
    """A student that differs from its teacher, the same one every time."""
    torch.manual_seed(0)
    keys = ["INSTANCE.CONSISTENCY_WEIGHT", str(weight), "INSTANCE.CONSISTENCY_ROTATION", str(rotation)]
    config = small("selftrain_icm.yaml", "INSTANCE.RAMP_ITERS", "0", "SEED", "3", *keys)
    model = build_stage_model(config, StageInputs(group=group)).train()
    assert isinstance(model, EmbeddingMomentumTeacher)
    with torch.no_grad():
        for parameter in model.student.head.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def target(predicted: int = 13) -> list[dict[str, Any]]:
    """Two views of 32x64; the left half is predicted as one class (13 = car)."""
    generator = torch.Generator().manual_seed(0)
    views = torch.randint(0, 256, (2, 3, 32, 64), dtype=torch.uint8, generator=generator)
    columns = torch.arange(64).expand(32, -1)
    return [
        {
            "student_views": views,
            "teacher_views": views,
            "class_mask_views": torch.where(columns < 32, predicted, 0).expand(2, -1, -1),
            "domain": "target",
        }
    ]


def losses_of(model: EmbeddingMomentumTeacher, items: list[dict[str, Any]]) -> dict[str, Tensor]:
    with EventStorage():
        losses: Any = model(items)
    return losses


def test_weight_0_has_no_term() -> None:
    model = build(0.0, rotation=180.0)
    assert model.consistency is None
    assert CONSISTENCY not in losses_of(model, target())


@pytest.mark.parametrize("rotation", [0.0, 180.0])
def test_weight_multiplies_and_the_student_alone_learns(rotation: float) -> None:
    once, twice = (losses_of(build(weight, rotation), target()) for weight in (1.0, 2.0))
    assert once[CONSISTENCY].item() > 0
    assert twice[CONSISTENCY].item() == pytest.approx(2 * once[CONSISTENCY].item(), rel=1e-5)
    assert set(once) - {CONSISTENCY} == set(losses_of(build(0.0), target()))
    model = build(1.0, rotation)
    losses_of(model, target())[CONSISTENCY].backward()
    assert any(p.grad is not None and p.grad.any() for p in model.student.parameters())
    assert all(p.grad is None for p in model.teacher.parameters())


def test_other_terms_do_not_notice() -> None:
    without, with_it = (losses_of(build(weight, 180.0), target()) for weight in (0.0, 1.0))
    assert all(torch.equal(without[name], with_it[name]) for name in without)


def test_classes_of_other_groups_are_not_compared() -> None:
    model = build(1.0, group=("person", "rider"))
    assert losses_of(model, target(13))[CONSISTENCY].item() == 0
    assert losses_of(model, target(11))[CONSISTENCY].item() > 0


def test_teacher_sees_turned_views(monkeypatch: pytest.MonkeyPatch) -> None:
    """A teacher that copies its input: what is turned there and back is the input where the mask says so."""
    model = build(1.0, 180.0)
    seen: list[Tensor] = []

    def copy_input(images: Tensor) -> Tensor:
        seen.append(images)
        return images.float()

    monkeypatch.setattr(model.teacher, "predict_strided", copy_input)
    torch.manual_seed(0)
    clean = torch.full((2, 3, 32, 64), 200.0)
    embeddings, inside = turned_embeddings(model.teacher, clean, clean, model.max_rotation)
    colour = model.teacher.mean_colour.flatten()
    assert torch.allclose(seen[0][:, :, 0, 0], colour.expand(2, -1))  # a corner that the image has left
    assert not inside.all() and inside.any(dim=(1, 2)).all()
    shown = embeddings.permute(0, 2, 3, 1)[inside]
    assert ((shown - 200).abs().amax(1) < 1).float().mean() > 0.95  # the rest lies at the border of the turned image


def test_without_rotation_the_teacher_runs_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = {}
    for rotation in (0.0, 180.0):
        model = build(1.0, rotation)
        predict = model.teacher.predict_strided
        seen: list[Tensor] = []

        def counted(images: Tensor, predict: Any = predict, seen: list[Tensor] = seen) -> Tensor:
            seen.append(images)
            return predict(images)

        monkeypatch.setattr(model.teacher, "predict_strided", counted)
        losses_of(model, target())
        calls[rotation] = len(seen)
    assert calls == {0.0: 1, 180.0: 2}


def test_log_counts_instances() -> None:
    """Two views, three instances of which one is below the threshold of .3; a view without any counts as well."""
    model = build(0.0)
    assert model.stability == 0.3
    with EventStorage() as storage:
        model._log(2, [0.2, 0.3, 1.0])
        assert {name: value for name, (value, _) in storage.latest().items()} == {
            "pseudo/instances": 1.5,
            "pseudo/stability": pytest.approx(0.5),
            "pseudo/unstable": pytest.approx(1 / 3),
        }
        model._log(2, [])
        assert {value for value, _ in storage.latest().values()} == {0.0}


class Means:
    """A network whose embeddings are the mean colours of 2 x 4 pixels."""

    def predict_strided(self, images: Tensor) -> Tensor:
        return F.avg_pool2d(images.float(), (2, 4))


def test_the_teacher_sees_the_image_and_the_student_its_noise(tmp_path: Path) -> None:
    """Here noise is the negative; a coarse pixel has the class of the fine one at (1, 2) inside it."""
    image, mask = noise(6, 8, 3), noise(6, 8) % 19
    cv2.imwrite(str(tmp_path / "image.png"), image[..., ::-1])
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    pair = SimpleNamespace(training=False, teacher=Means(), student=Means(), device=torch.device("cpu"))
    item = {"file_name": str(tmp_path / "image.png"), "class_mask_file_name": str(tmp_path / "mask.png")}
    teacher, student, sem_seg = EmbeddingMomentumTeacher.encode_image(
        cast(EmbeddingMomentumTeacher, pair), item, lambda x: 255 - x
    )
    expected = np.zeros((3, 3, 2))
    for y in range(3):
        for x in range(2):
            expected[:, y, x] = image[2 * y : 2 * y + 2, 4 * x : 4 * x + 4].reshape(8, 3).mean(0)
            assert sem_seg[y, x] == mask[2 * y + 1, 4 * x + 2]
    assert teacher.numpy() == pytest.approx(expected, abs=1e-4)
    assert student.numpy() == pytest.approx(255 - expected, abs=1e-4)
    assert sem_seg.dtype == torch.int64 and sem_seg.shape == (3, 2)
    assert list(item) == ["file_name", "class_mask_file_name"]


def test_a_model_in_training_is_not_judged() -> None:
    with pytest.raises(AssertionError):
        EmbeddingMomentumTeacher.encode_image(
            cast(EmbeddingMomentumTeacher, SimpleNamespace(training=True)), {}, lambda x: x
        )
