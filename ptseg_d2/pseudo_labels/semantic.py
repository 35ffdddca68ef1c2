"""Several views of one target image as evidence, and how often each class is seen ([SAC]).

Shapes: V views of one canvas, C classes, H x W pixels (any resolution, the network's own included).
Nothing here has a gradient.
"""

from __future__ import annotations

from ptseg_d2.data.views import warp_to_canvas, warp_to_view

import torch
from torch import Tensor

# Initial value of the class prior, which means "class not seen yet".
UNSEEN_PRIOR = 1e-3

# Total probability below which a canvas pixel is seen by no view.
MIN_MASS = 0.1


@torch.no_grad()
def fuse_views(probabilities: Tensor, thetas: Tensor, valid: Tensor | None = None) -> Tensor:
    """Average the predictions of all views on their canvas and show the average to every view again.

    Each canvas pixel gets the mean over the views that see it; a pixel that no view sees (or that is padding
    in all of them) gets 0 for every class.

    Args:
        probabilities: (V, C, H, W) float, softmax output for each view.
        thetas: (V, 2, 3) view-to-canvas maps, see `ptseg_d2.data.views`.
        valid: (V, 1, H, W) bool or float in [0, 1], 0 on padding; None = everywhere valid.

    Returns:
        (V, C, H, W) float, refined probabilities; they sum to at most 1.
    """
    if valid is not None:
        probabilities = probabilities * valid.to(probabilities.dtype)
    total = warp_to_canvas(probabilities, thetas).sum(0, keepdim=True)
    mass = total.sum(1, keepdim=True)
    canvas = torch.cat([total / mass.clamp(min=1e-3), (mass > MIN_MASS).to(total.dtype)], dim=1)
    refined = warp_to_view(canvas.expand(len(thetas), -1, -1, -1), thetas)
    return refined[:, :-1] * refined[:, -1:]


@torch.no_grad()
def update_class_prior_(
    chi: Tensor, batch_mean: Tensor, momentum: float = 0.99, sentinel: float = UNSEEN_PRIOR
) -> None:
    """Move the running class prior towards the mean prediction of a batch, in place.

    Args:
        chi: (C,) float, the prior; a class whose value is exactly `sentinel` has not been seen. It takes the
            batch mean as soon as that exceeds 1e-8 and stays as it is until then.
        batch_mean: (C,) float, mean over views and pixels of the teacher's softmax before fusion; over all processes
            in a distributed run (unlike the public code: [SAC], "class prior").
        momentum: weight of the old value, in [0, 1).
        sentinel: initial value of chi.
    """
    batch_mean = batch_mean.to(chi.dtype)
    first = torch.where(batch_mean > 1e-8, batch_mean, chi)
    chi.copy_(torch.where(chi == sentinel, first, momentum * chi + (1 - momentum) * batch_mean))
