"""Sums over all pairs of an instance centre and a pixel, without the K x P matrix of their distances.

Shapes: E embedding dims, K instances, M pixels of instances, M0 unlabelled pixels, P pixels in all, B in a block.
Forward and backward walk over blocks of pixels that fit into the cache: one matrix product makes the squared
distances of a block, the functions of the distance are applied in place, and in the backward pass one product each
makes the gradients of pixels and centres. The backward pass computes the distances again: to read a stored matrix
would cost about as much, and to allocate it more.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from ptseg_d2.losses.segments import Segments

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Numbers in the distance matrix of one block: half a megabyte in float32, and few launches on a GPU.
CPU_BLOCK = 1 << 17
CUDA_BLOCK = 1 << 24
# exp() of less would give denormal numbers, which are slow; 1e-26 is exact to any precision used here.
SMALLEST_EXPONENT = -60.0


class PairSums(NamedTuple):
    """What the terms need of the pixels.

    Attributes:
        own: (M,) squared distance of each pixel of an instance to its own mean.
        kernel: (K,) sum over pixels of instances and unlabelled ones of exp(-2 d^2 / two_sigma2), the soft mask's
            square; 0 if not asked for.
        hinge: (K,) sum over unlabelled pixels of [margin - d]_+^2; 0 if not asked for.
    """

    own: Tensor
    kernel: Tensor
    hinge: Tensor


def pair_sums(image: Segments, two_sigma2: float | None = None, margin: float | Tensor | None = None) -> PairSums:
    """Sums over the pixels of an image with at least one instance, differentiable once.

    Args:
        image: pixels and means.
        two_sigma2: width of the kernel; None = not needed.
        margin: of the hinge; None = not needed.
    """
    sums = _PairSums.apply(image.pixels, image.means, image.indices, image.labels, image.unlabeled, two_sigma2, margin)
    return PairSums(*sums)


class _PairSums(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        pixels: Tensor,
        means: Tensor,
        indices: Tensor,
        labels: Tensor,
        unlabeled: Tensor,
        two_sigma2: float | None,
        margin: float | Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.save_for_backward(pixels, means, indices, labels, unlabeled)
        ctx.two_sigma2, ctx.margin = two_sigma2, margin
        blocks = _Blocks(pixels, means)
        own = pixels.new_empty(len(indices))
        kernel, hinge = means.new_zeros(2, means.shape[1])
        for block, block_labels, block_own in blocks.over(indices, labels, own):
            torch.sum(blocks.offsets(block, block_labels).square_(), 0, out=block_own)
            if two_sigma2 is not None:
                kernel += _squared_kernel_(blocks.distances(block, block_labels, block_own), two_sigma2).sum(1)
        for (block,) in blocks.over(unlabeled) if two_sigma2 is not None or margin is not None else ():
            distances = blocks.distances(block)
            if two_sigma2 is not None:
                kernel += _squared_kernel_(distances if margin is None else distances.clone(), two_sigma2).sum(1)
            if margin is not None:
                hinge += distances.clamp_(min=0).sqrt_().sub_(margin).clamp_(max=0).square_().sum(1)
        return own, kernel, hinge

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_own: Tensor, grad_kernel: Tensor, grad_hinge: Tensor) -> tuple[Tensor | None, ...]:
        """With a_ki = d loss / d(d_ki^2): grad e_i = 2 sum_k a_ki (e_i - mu_k), grad mu_k = -2 sum_i of the same."""
        pixels, means, indices, labels, unlabeled = ctx.saved_tensors
        two_sigma2, margin = ctx.two_sigma2, ctx.margin
        blocks = _Blocks(pixels, means)
        gradient = _Gradient(blocks, pixels)
        if two_sigma2 is not None:
            kernel_factor = grad_kernel[:, None] * (-2 / two_sigma2)
        for block, block_labels, block_grad in blocks.over(indices, labels, grad_own):
            own = blocks.offsets(block, block_labels).square_().sum(0)
            slopes = blocks.distances(block, block_labels, own)
            slopes = slopes.zero_() if two_sigma2 is None else _squared_kernel_(slopes, two_sigma2).mul_(kernel_factor)
            gradient.add_(block, slopes.scatter_add_(0, block_labels[None], block_grad[None]))
        for (block,) in blocks.over(unlabeled) if two_sigma2 is not None or margin is not None else ():
            slopes = blocks.distances(block)
            if margin is None:
                slopes = _squared_kernel_(slopes, two_sigma2).mul_(kernel_factor)
            elif two_sigma2 is None:
                slopes = _hinge_slope_(slopes, margin).mul_(grad_hinge[:, None])
            else:
                hinge = _hinge_slope_(slopes.clone(), margin).mul_(grad_hinge[:, None])
                slopes = _squared_kernel_(slopes, two_sigma2).mul_(kernel_factor).add_(hinge)
            gradient.add_(block, slopes)
        return gradient.pixels, gradient.means(), None, None, None, None, None


def _squared_kernel_(squared_distances: Tensor, two_sigma2: float) -> Tensor:
    return squared_distances.mul_(-2 / two_sigma2).clamp_(min=SMALLEST_EXPONENT, max=0).exp_()


def _hinge_slope_(squared_distances: Tensor, margin: float | Tensor) -> Tensor:
    """Derivative of [margin - d]_+^2 by d^2, which is -[margin / d - 1]_+.

    Below sqrt(eps) the distance is rounding; e_i - mu_k, which is multiplied with this, is about 0 there.
    """
    floor = torch.finfo(squared_distances.dtype).eps
    return squared_distances.clamp_(min=floor).rsqrt_().mul_(margin).neg_().add_(1).clamp_(max=0)


class _Blocks:
    """Blocks of pixels, read column by column or row by row (networks give either), and their squared distances.

    A block is (E + 2, B): e - origin, |e - origin|^2, 1. Its product with [-2 mu, 1, |mu|^2] is |e - mu|^2; this form
    loses digits far from the origin, so the origin is moved into the means first.
    """

    def __init__(self, pixels: Tensor, means: Tensor) -> None:
        self.pixels = pixels
        self.by_row = pixels.stride(0) == 1
        self.origin = means.mean(1, keepdim=True)
        self.means = means - self.origin
        square = self.means.square().sum(0, keepdim=True)
        self.left = torch.cat([-2 * self.means, torch.ones_like(square), square]).t().contiguous()
        num_means = means.shape[1]
        self.length = max(1, min(pixels.shape[1], (CUDA_BLOCK if pixels.is_cuda else CPU_BLOCK) // num_means))
        self.block = pixels.new_ones((len(pixels) + 2) * self.length)
        self.product = pixels.new_empty(num_means * self.length)
        self.indices = pixels.new_empty(0, dtype=torch.int64)

    def over(self, indices: Tensor, *others: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """Blocks of the pixels `indices` (M,), each with its part of the other tensors (M,)."""
        for start in range(0, len(indices), self.length):
            part = slice(start, start + self.length)
            self.indices = indices[part]
            yield self._read(), *(other[part] for other in others)

    def _read(self) -> Tensor:
        block = self.block[: len(self.left[0]) * len(self.indices)].view(-1, len(self.indices))
        block[-1] = 1
        if self.by_row:
            chosen = self.pixels.t().index_select(0, self.indices).t()
        else:
            chosen = self.pixels.index_select(1, self.indices)
        torch.sub(chosen, self.origin, out=block[:-2])
        torch.sum(block[:-2].square(), 0, out=block[-2])
        return block

    def offsets(self, block: Tensor, labels: Tensor) -> Tensor:
        """Differences (E, B) to the means of the pixels' own instances, exact also near 0."""
        return self.means.index_select(1, labels).sub_(block[:-2])

    def distances(self, block: Tensor, labels: Tensor | None = None, own: Tensor | None = None) -> Tensor:
        """Squared distances (K, B), valid until the next call; exact ones `own` (B,) put in for `labels` (B,)."""
        product = self.product[: len(self.left) * len(self.indices)].view(len(self.left), -1)
        torch.mm(self.left, block, out=product)
        if labels is not None and own is not None:
            product.scatter_(0, labels[None], own[None])
        return product


class _Gradient:
    """Gradients of pixels and means, collected block by block."""

    def __init__(self, blocks: _Blocks, pixels: Tensor) -> None:
        self.blocks = blocks
        self.pixels = torch.zeros_like(pixels)
        self.moments = pixels.new_zeros(len(blocks.left), len(pixels) + 2)
        self.weighted = 2 * torch.cat([blocks.means, torch.ones_like(blocks.means[:1])])

    def add_(self, block: Tensor, slopes: Tensor) -> None:
        """Take in a block (E + 2, B) with its slopes a_ki (K, B)."""
        self.moments.addmm_(slopes, block.t())
        sums = self.weighted @ slopes
        grad = (block[:-2] * sums[-1]).sub_(sums[:-1])
        if self.blocks.by_row:
            self.pixels.t().index_copy_(0, self.blocks.indices, grad.t())
        else:
            self.pixels.index_copy_(1, self.blocks.indices, grad)

    def means(self) -> Tensor:
        """(E, K)."""
        moments = 2 * self.moments.t()
        return self.blocks.means * moments[-1] - moments[:-2]
