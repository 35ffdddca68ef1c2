"""GPU memory that this process keeps for later and that others may need now."""

from __future__ import annotations

import gc

import torch


def free_cached_memory() -> None:
    """Collect what nobody refers to any more and give unused GPU memory back to the device."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
