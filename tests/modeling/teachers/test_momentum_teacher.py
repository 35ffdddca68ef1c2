"""Student and teacher: who learns, who follows, what survives a checkpoint."""

from __future__ import annotations

from typing import Any

from ptseg_d2.modeling.hooks import EMAHook, RefreshTeacherHook
from ptseg_d2.modeling.teachers.momentum_teacher import MomentumTeacher

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage
from tiny import small
from torch import nn

NO_MIX = ["MODEL.SELF_TRAINING.CLASS_MIX", "False"]
BOTH = ["semantic_selftrain.yaml", "selftrain_icm.yaml"]


def build(name: str, *overrides: str) -> MomentumTeacher:
    torch.manual_seed(0)
    model = build_model(small(name, *overrides))
    assert isinstance(model, MomentumTeacher)
    return model


def batch() -> list[dict[str, Any]]:
    """One source and one target image with two views, as the mappers make them."""
    generator = torch.Generator().manual_seed(0)

    def image(*shape: int) -> torch.Tensor:
        return torch.randint(0, 256, (*shape, 32, 64), dtype=torch.uint8, generator=generator)

    identity = torch.tensor([[1.0, 0, 0], [0, 1.0, 0]])
    columns = torch.arange(64).expand(32, -1)
    source = {
        "image": image(3),
        "sem_seg": torch.where(columns < 32, 13, 0),
        "instance_ids": columns // 16 % 3,
        "domain": "source",
    }
    target = {
        "student_views": image(2, 3),
        "teacher_views": image(2, 3),
        "thetas": torch.stack([identity, identity]),
        "class_mask_views": torch.where(columns < 32, 13, 0).expand(2, -1, -1),
        "domain": "target",
    }
    return [source, target]


@pytest.mark.parametrize("name", BOTH)
def test_only_the_student_gets_gradients(name: str) -> None:
    model = build(name, "MODEL.SELF_TRAINING.RAMP_ITERS", "0", "INSTANCE.RAMP_ITERS", "0").train()
    with EventStorage():
        losses = model(batch())
    assert all(key.startswith("loss_") for key in losses)
    assert any(key.endswith("_source") for key in losses) and any(key.endswith("_target") for key in losses)
    sum(losses.values()).backward()
    assert all(p.grad is None and not p.requires_grad for p in model.teacher.parameters())
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.student.parameters())


@pytest.mark.parametrize("name", BOTH)
def test_a_single_network_initialises_both(name: str) -> None:
    base = {"semantic_selftrain.yaml": "semantic_source.yaml", "selftrain_icm.yaml": "instance_source.yaml"}[name]
    torch.manual_seed(7)
    single = build_model(small(base))
    model = build(name)
    model.load_state_dict(single.state_dict(), strict=False)
    for role in (model.student, model.teacher):
        for key, value in single.state_dict().items():
            assert torch.equal(role.state_dict()[key], value), key


def test_own_checkpoint_keeps_student_and_teacher_apart() -> None:
    model = build("semantic_selftrain.yaml")
    nn.init.constant_(next(iter(model.student.parameters())), 2.0)
    model.num_steps += 5
    other = build("semantic_selftrain.yaml")
    other.load_state_dict(model.state_dict())
    for key, value in model.state_dict().items():
        assert torch.equal(other.state_dict()[key], value), key
    assert not torch.equal(next(iter(other.student.parameters())), next(iter(other.teacher.parameters())))


def test_teacher_is_never_in_training_mode_and_frozen_statistics_stay() -> None:
    model = build("semantic_selftrain.yaml", "MODEL.SELF_TRAINING.BN_STATS", "frozen").train()
    norms = [m for m in model.student.modules() if isinstance(m, nn.BatchNorm2d)]
    assert not model.teacher.training and norms and not any(m.training for m in norms)
    assert all(p.requires_grad for m in norms for p in m.parameters())
    before = [m.running_mean.clone() for m in norms]  # type: ignore[union-attr]
    with EventStorage():
        model(batch())
    assert all(torch.equal(m.running_mean, b) for m, b in zip(norms, before))  # type: ignore[arg-type]


def test_target_statistics_follow_the_target_images_only() -> None:
    source, target = batch()
    seen = []
    for images in ([source, target], [target]):
        model = build("semantic_selftrain.yaml", "MODEL.SELF_TRAINING.BN_STATS", "target", *NO_MIX).train()
        with EventStorage():
            model(images)
        seen.append({k: v for k, v in model.student.state_dict().items() if "running" in k})
    assert seen[0].keys() == seen[1].keys() and seen[0]
    fresh = build("semantic_selftrain.yaml").student.state_dict()
    for key, value in seen[0].items():
        assert torch.equal(value, seen[1][key]), key
    assert any(not torch.equal(value, fresh[key]) for key, value in seen[0].items())


def test_target_weight_ramp() -> None:
    model = build(
        "semantic_selftrain.yaml", "MODEL.SELF_TRAINING.RAMP_ITERS", "4", "MODEL.SELF_TRAINING.TARGET_WEIGHT", "2.0"
    ).train()
    weights = []
    with EventStorage():
        for _ in range(6):
            weights.append(model.current_target_weight())
            model(batch())
    assert weights == [0.0, 0.5, 1.0, 1.5, 2.0, 2.0]


class FakeTrainer:
    """Runs the after_step of a hook for iterations 0, 1, ..."""

    iter = 0

    def run(self, hook: Any, model: MomentumTeacher, iterations: int) -> list[float]:
        """The teacher's first weight after each iteration; the student's is the iteration number + 1."""
        hook.trainer = self
        seen = []
        for self.iter in range(iterations):
            nn.init.constant_(next(iter(model.student.parameters())), float(self.iter + 1))
            hook.after_step()
            seen.append(float(next(iter(model.teacher.parameters())).flatten()[0]))
        return seen


def test_ema_hook_cadence() -> None:
    model = build("semantic_selftrain.yaml")
    nn.init.constant_(next(iter(model.teacher.parameters())), 0.0)
    assert FakeTrainer().run(EMAHook(model, 0.5, interval=2), model, 5) == [0, 1, 1, 2.5, 2.5]


def test_warm_up_copies_first_and_is_capped() -> None:
    """[DACS]: old weights 0, 1/2, 2/3, 3/4, ... up to .7; the student is t, and 1, 3/2, 2 are the means of 1..t."""
    model = build("semantic_selftrain.yaml")
    nn.init.constant_(next(iter(model.teacher.parameters())), -100.0)
    seen = FakeTrainer().run(EMAHook(model, 0.7, warm_up=True), model, 5)
    fourth = 0.7 * 2 + 0.3 * 4
    assert seen == pytest.approx([1, 1.5, 2, fourth, 0.7 * fourth + 0.3 * 5])


def test_warm_up_counts_updates_not_iterations() -> None:
    model = build("semantic_selftrain.yaml")
    nn.init.constant_(next(iter(model.teacher.parameters())), -100.0)
    seen = FakeTrainer().run(EMAHook(model, 0.9, interval=2, warm_up=True), model, 4)
    assert seen == pytest.approx([-100, 2, 2, 3])  # after iteration 4: (2 + 4) / 2


def test_refresh_hook_copies_every_interval() -> None:
    model = build("selftrain_icm.yaml")
    nn.init.constant_(next(iter(model.teacher.parameters())), 0.0)
    assert FakeTrainer().run(RefreshTeacherHook(model, interval=3), model, 7) == [0, 0, 3, 3, 3, 6, 6]


def test_evaluated_network_is_the_named_one() -> None:
    image = torch.randint(0, 256, (1, 3, 32, 64), dtype=torch.uint8)
    for role in ("student", "teacher"):
        model = build("semantic_selftrain.yaml", "MODEL.SELF_TRAINING.EVALUATE", role).eval()
        nn.init.constant_(next(iter(model.teacher.parameters())), 0.0)
        with torch.no_grad():
            expected = getattr(model, role).predict(image)["sem_seg"]
            assert torch.equal(model.predict(image)["sem_seg"], expected)
    with pytest.raises(ValueError, match="expected 'student' or 'teacher'"):
        build("semantic_selftrain.yaml", "MODEL.SELF_TRAINING.EVALUATE", "both")
