"""ClassMix: paste the pixels of some source classes on a target image ([ClassMix], as in [DACS])."""

from __future__ import annotations

from ptseg_d2.classes.tables import VOID

import torch
from torch import Tensor


def choose_classes(sem_seg: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Mask of half (rounded up) of the classes in an image, drawn without replacement.

    Void is never drawn ([DACS], "void is not pasted").

    Args:
        sem_seg: (H, W) int64, train ids or 255.
        generator: source of randomness on the CPU; None is PyTorch's global one.

    Returns:
        (H, W) bool, True on the pixels to paste; all False when every pixel is void.
    """
    classes = torch.unique(sem_seg)
    classes = classes[classes != VOID]
    order = torch.randperm(len(classes), generator=generator)
    chosen = classes[order[: (len(classes) + 1) // 2].to(classes.device)]
    return torch.isin(sem_seg, chosen)


def paste(mask: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """Source where the mask is set, target elsewhere; a new tensor.

    Args:
        mask: (..., H, W) bool.
        source: labels or weights (..., H, W), or images (..., C, H, W).
        target: same shape and dtype as `source`.

    Raises:
        ValueError: the three do not lie on the same pixels.
    """
    if source.shape != target.shape or source.shape[-2:] != mask.shape[-2:]:
        raise ValueError(
            f"Cannot mix source {tuple(source.shape)} and target {tuple(target.shape)} with a mask "
            f"{tuple(mask.shape)}: crop both domains to the same height and width first."
        )
    if source.dim() == mask.dim() + 1:
        mask = mask.unsqueeze(-3)
    return torch.where(mask, source, target)
