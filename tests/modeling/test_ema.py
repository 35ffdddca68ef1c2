"""EMA teacher: equal to a scalar recurrence, buffers included, student untouched."""

from __future__ import annotations

import copy

from ptseg_d2.modeling.ema import copy_, update_ema_

import pytest
import torch
from torch import nn


def network(value: float, steps: int) -> nn.Module:
    """Convolution and batch norm with every float filled with `value` and the integer counter at `steps`."""
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    for tensor in model.state_dict().values():
        tensor.fill_(value if tensor.is_floating_point() else steps)
    return model


def test_equals_the_scalar_recurrence() -> None:
    teacher, expected = network(0.0, steps=0), 0.0
    for step, value in enumerate([1.0, 3.0, -2.0], start=1):
        update_ema_(teacher, network(value, step), momentum=0.9)
        expected = 0.9 * expected + 0.1 * value
    for name, tensor in teacher.state_dict().items():
        answer = expected if tensor.is_floating_point() else 3
        assert torch.allclose(tensor.double(), torch.full_like(tensor, answer).double(), atol=1e-6), name


def test_student_is_untouched_and_teacher_gets_no_graph() -> None:
    teacher, student = network(0.0, 0), network(1.0, 1)
    before = copy.deepcopy(student.state_dict())
    update_ema_(teacher, student, momentum=0.5)
    assert all(torch.equal(before[name], tensor) for name, tensor in student.state_dict().items())
    assert all(p.is_leaf and p.grad_fn is None for p in teacher.parameters())


def test_copy_makes_all_state_equal_without_sharing_memory() -> None:
    teacher, student = network(0.0, 0), network(5.0, 7)
    copy_(teacher, student)
    state = student.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in teacher.state_dict().items())
    assert not {p.data_ptr() for p in teacher.parameters()} & {p.data_ptr() for p in student.parameters()}


def test_momentum_one_keeps_the_teacher() -> None:
    teacher = network(2.0, 0)
    update_ema_(teacher, network(9.0, 0), momentum=1.0)
    assert all(torch.equal(p, torch.full_like(p, 2.0)) for p in teacher.parameters())


@pytest.mark.parametrize("momentum", [-0.1, 1.1])
def test_rejects_momentum_outside_the_unit_interval(momentum: float) -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        update_ema_(network(0, 0), network(0, 0), momentum)


@pytest.mark.parametrize(
    "other", [nn.Sequential(nn.Conv2d(3, 4, 1)), nn.Sequential(nn.Conv2d(3, 5, 1), nn.BatchNorm2d(4))]
)
def test_rejects_another_network_and_names_a_tensor(other: nn.Module) -> None:
    with pytest.raises(ValueError, match="same network.*'(0|1)\\."):
        update_ema_(network(0, 0), other, 0.9)
