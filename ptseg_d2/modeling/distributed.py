"""Values that every process of a distributed run must agree on. Without processes nothing is sent."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from detectron2.utils import comm
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def sum_over_processes(value: Tensor) -> Tensor:
    """Sum of a tensor of one shape over all processes; the tensor itself when there is only one."""
    if comm.get_world_size() == 1:
        return value
    total = value.clone()
    dist.all_reduce(total)
    return total


@torch.no_grad()
def mean_over_processes(value: Tensor) -> Tensor:
    """Mean of a tensor of one shape over all processes; the tensor itself when there is only one."""
    if comm.get_world_size() == 1:
        return value
    return sum_over_processes(value) / comm.get_world_size()


@torch.no_grad()
def average_statistics_(norms: Sequence[_BatchNorm]) -> None:
    """Give batch-norm layers the mean of their running statistics over all processes, in place."""
    if comm.get_world_size() == 1:
        return
    statistics = [x for layer in norms for x in (layer.running_mean, layer.running_var) if x is not None]
    if statistics:
        mean = mean_over_processes(torch.cat(statistics))
        for own, shared in zip(statistics, mean.split([len(x) for x in statistics])):
            own.copy_(shared)


def unwrap(model: nn.Module) -> nn.Module:
    """The model inside DistributedDataParallel, or the model itself."""
    return model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model
