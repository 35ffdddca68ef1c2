"""Values that every process of a distributed run must agree on. Without processes nothing is sent."""

from __future__ import annotations

import torch
import torch.distributed as dist
from detectron2.utils import comm
from torch import Tensor, nn


@torch.no_grad()
def mean_over_processes(value: Tensor) -> Tensor:
    """Mean of a tensor of one shape over all processes; the tensor itself when there is only one."""
    if comm.get_world_size() == 1:
        return value
    total = value.clone()
    dist.all_reduce(total)
    return total / comm.get_world_size()


@torch.no_grad()
def average_buffers_(module: nn.Module) -> None:
    """Give the floating-point buffers of a module (batch-norm statistics) their mean over all processes, in place."""
    if comm.get_world_size() == 1:
        return
    for buffer in module.buffers():
        if buffer.is_floating_point():
            buffer.copy_(mean_over_processes(buffer))
