#!/usr/bin/env python3
"""FDA: our `amplitude_swap` beside the textbook form in NumPy, interleaved in one run, with equal results.

The textbook form transforms both images completely and swaps the centred window of the shifted amplitudes, as the
authors' code does (github.com/YanchaoYang/FDA); ours transforms the window alone.

    python benchmarks/bench_fda.py
    python benchmarks/bench_fda.py --size 1052 1914 --runs 15 --threads 4
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ptseg_d2.data.style import amplitude_swap

import numpy as np
import torch
from numpy.typing import NDArray

BETAS = (0.01, 0.05, 0.09)  # the three networks of the ensemble of [FDA]
TOLERANCE = 1e-2  # grey levels


class Row(NamedTuple):
    """One line of the table: window, medians in milliseconds, largest difference in grey levels."""

    beta: float
    textbook_ms: float
    ours_ms: float
    difference: float


def textbook_fda(source: NDArray[np.floating], target: NDArray[np.floating], beta: float) -> NDArray[np.float64]:
    """Low-frequency amplitudes of the target with the phases of the source ([FDA]).

    Args:
        source: (C, H, W), values 0..255.
        target: same shape.
        beta: half side of the window as a share of the shorter image side.

    Returns:
        (C, H, W), not clipped.
    """
    source_spectrum = np.fft.fftshift(np.fft.fft2(source), axes=(-2, -1))
    target_spectrum = np.fft.fftshift(np.fft.fft2(target), axes=(-2, -1))
    amplitude, phase = np.abs(source_spectrum), np.angle(source_spectrum)
    height, width = source.shape[-2:]
    radius = int(np.floor(min(height, width) * beta))
    rows = slice(height // 2 - radius, height // 2 + radius + 1)
    columns = slice(width // 2 - radius, width // 2 + radius + 1)
    amplitude[:, rows, columns] = np.abs(target_spectrum)[:, rows, columns]
    swapped = np.fft.ifftshift(amplitude * np.exp(1j * phase), axes=(-2, -1))
    return np.real(np.fft.ifft2(swapped))


def street_like(size_hw: tuple[int, int], seed: int) -> NDArray[np.float32]:
    """(3, H, W) integers 0..255 with the falling spectrum of photographs: smoothed noise of several sizes."""
    rng = np.random.default_rng(seed)
    image = np.zeros((3, *size_hw))
    for step in (1, 4, 16, 64, 256):
        coarse = rng.normal(0, 12, (3, -(-size_hw[0] // step), -(-size_hw[1] // step)))
        image += coarse.repeat(step, axis=1).repeat(step, axis=2)[:, : size_hw[0], : size_hw[1]]
    return np.rint(image + 110).clip(0, 255).astype(np.float32)


def measure(size_hw: tuple[int, int], beta: float, runs: int) -> Row:
    """Time both forms in turns, after one call of each that does not count."""
    source, target = street_like(size_hw, 0), street_like(size_hw, 1)
    source_tensor, target_tensor = torch.from_numpy(source), torch.from_numpy(target)
    seconds: dict[str, list[float]] = {"textbook": [], "ours": []}

    def timed(name: str, function: Callable[[], NDArray[np.floating]]) -> NDArray[np.floating]:
        start = time.perf_counter()
        result = function()
        seconds[name].append(time.perf_counter() - start)
        return result

    difference = 0.0
    for _ in range(runs + 1):
        expected = timed("textbook", lambda: textbook_fda(source, target, beta).clip(0, 255))
        found = timed("ours", lambda: amplitude_swap(source_tensor, target_tensor, beta).numpy())
        difference = max(difference, float(np.abs(found - expected).max()))
    medians = {name: 1e3 * statistics.median(values[1:]) for name, values in seconds.items()}
    return Row(beta, medians["textbook"], medians["ours"], difference)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; the exit status is 1 if the results differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs=2, default=(720, 1280), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--runs", type=int, default=9, help="timed calls of each form; the median counts")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch; NumPy's FFT always uses one")
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    rows = [measure(tuple(args.size), beta, args.runs) for beta in BETAS]
    lines = [
        f"{args.size[0]}x{args.size[1]}x3 float32, {args.threads} threads, median of {args.runs}, "
        f"torch {torch.__version__}, numpy {np.__version__}",
        "| beta | textbook, ms | ours, ms | ratio | largest difference, grey levels |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        ratio = row.textbook_ms / row.ours_ms
        lines.append(
            f"| {row.beta:.2f} | {row.textbook_ms:.1f} | {row.ours_ms:.1f} | {ratio:.1f} | {row.difference:.1e} |"
        )
    sys.stdout.write("\n".join(lines) + "\n")
    return int(any(row.difference >= TOLERANCE for row in rows))


if __name__ == "__main__":
    sys.exit(main())
