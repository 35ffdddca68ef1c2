"""Runs the groups of a stage side by side: each in its own process, on its own GPU where there are several."""

from __future__ import annotations

import logging
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from ptseg_d2.recipe.groups import free_cached_memory
from ptseg_d2.recipe.launchers.interruption import sigterm_interrupts
from ptseg_d2.stages import StageRun

import torch

logger = logging.getLogger(__name__)

CONSOLE = "console.txt"
"""Below the folder of a group: everything that its process wrote."""

POLL_SECONDS = 0.2
STOP_SECONDS = 20
"""Time for a process to end by itself after it was asked to."""


class Processes:
    """A `Launcher` that keeps a number of processes busy until every group has had its turn."""

    def __init__(self, command: Callable[[StageRun], list[str]], num_at_once: int) -> None:
        """
        Args:
            command: the command line that trains a group.
            num_at_once: processes side by side.
        """
        self.command = command
        self.num_at_once = num_at_once

    def __call__(self, groups: Sequence[StageRun]) -> list[Path]:
        """See `Launcher`."""
        waiting = list(groups)
        num_slots = min(self.num_at_once, len(waiting))
        gpus = gpus_for(waiting[0])
        free_cached_memory()  # of earlier stages, in this process: the groups may be on its GPU
        running: dict[int, subprocess.Popen[bytes]] = {}
        with _ended_together(running):
            while waiting or running:
                for slot in sorted(set(range(num_slots)) - running.keys()):
                    if waiting:
                        running[slot] = self._start(waiting.pop(0), slot_environment(slot, num_slots, gpus))
                time.sleep(POLL_SECONDS)
                for slot in [slot for slot, process in running.items() if process.poll() is not None]:
                    del running[slot]
        return [console_file(group) for group in groups]

    def _start(self, group: StageRun, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        path = console_file(group)
        path.parent.mkdir(parents=True, exist_ok=True)
        logger.info("%s begins with %s, see %s", group.title, dict(environment), path)
        with path.open("ab") as console:
            return subprocess.Popen(
                self.command(group),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
            )


def console_file(group: StageRun) -> Path:
    """Where the output of a group's process goes."""
    return group.folder / CONSOLE


def visible_gpus() -> list[str]:
    """The GPUs of this process, by the names that CUDA_VISIBLE_DEVICES takes."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = chosen.split(",") if chosen else [str(number) for number in range(torch.cuda.device_count())]
    return names[: torch.cuda.device_count()]


def gpus_for(group: StageRun) -> list[str]:
    """The GPUs that a group may use, see `visible_gpus`; none where it trains on the CPU."""
    return visible_gpus() if group.cfg.MODEL.DEVICE.startswith("cuda") else []


def slot_environment(slot: int, num_slots: int, gpus: Sequence[str]) -> dict[str, str]:
    """What one of several processes side by side may use of this machine: its GPU, its share of the threads.

    Args:
        slot: 0..num_slots - 1.
        num_slots: processes side by side.
        gpus: names of the GPUs, taken in turn; none = CPU.
    """
    environment = {"OMP_NUM_THREADS": str(max(1, torch.get_num_threads() // num_slots))}
    if gpus:
        environment["CUDA_VISIBLE_DEVICES"] = gpus[slot % len(gpus)]
    return environment


@contextmanager
def _ended_together(running: Mapping[int, subprocess.Popen[bytes]]) -> Iterator[None]:
    """End the processes that still run when this one is interrupted (Ctrl-C, SIGTERM) or fails."""
    with sigterm_interrupts():
        try:
            yield
        finally:
            for process in running.values():
                process.terminate()
            for process in running.values():
                try:
                    process.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
