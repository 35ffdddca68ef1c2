"""Runs the groups of a stage as an array of Slurm tasks by submitit (the extra `ptseg_d2[slurm]`)."""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from ptseg_d2.errors import RecipeError
from ptseg_d2.recipe.groups import free_cached_memory
from ptseg_d2.recipe.launchers.interruption import sigterm_noted
from ptseg_d2.recipe.launchers.processes import gpus_for, slot_environment
from ptseg_d2.stages import StageRun

logger = logging.getLogger(__name__)

CLUSTERS = ("slurm", "local")
"""Kinds of submitit executors; "local" runs all tasks at once on this machine, to try the rest out."""

DAY = 24 * 60
"""Minutes a task may take unless `--slurm-option time=...` says otherwise; submitit's own default is 5."""

POLL_SECONDS = 1.0
"""Between two looks at the tasks; submitit itself asks Slurm less often."""


class SubmititTasks:
    """A `Launcher` that hands every group to submitit and waits for all of them."""

    def __init__(
        self,
        command: Callable[[StageRun], list[str]],
        cluster: str,
        options: Sequence[str] = (),
        num_at_once: int | None = None,
    ) -> None:
        """
        Args:
            command: the command line that trains a group; must mean the same on the machine of the task.
            cluster: one of `CLUSTERS`.
            options: "key=value" as of sbatch, "partition=gpu".
            num_at_once: most tasks of the array that Slurm runs at the same time; None = as many as it starts.

        Raises:
            RecipeError: submitit is not installed, or an option is not "key=value".
        """
        self.command = command
        self.cluster = cluster
        self.options = {f"slurm_{key}": value for key, value in map(_key_and_value, options)}
        self.num_at_once = num_at_once
        self.submitit = _import_submitit()

    def __call__(self, groups: Sequence[StageRun]) -> list[Path]:
        """See `Launcher`."""
        free_cached_memory()  # of earlier stages, in this process: local tasks may be on its GPU
        jobs: list[Any] = []
        with sigterm_noted() as terminated:
            try:
                jobs = self._submit(groups)
                logs = [Path(job.paths.stdout) for job in jobs]
                for group, job, log in zip(groups, jobs, logs):
                    logger.info("%s is task %s, see %s", group.title, job.job_id, log)
                while not all(job.done() for job in jobs):
                    if terminated.wait(POLL_SECONDS):
                        raise KeyboardInterrupt
            except KeyboardInterrupt:
                for job in jobs:
                    job.cancel()
                raise
        return logs

    def _submit(self, groups: Sequence[StageRun]) -> list[Any]:
        try:
            return self._submit_array(groups)
        except (AssertionError, NameError, RuntimeError, ValueError) as error:  # what submitit raises
            raise RecipeError(f"--submitit {self.cluster}: {error}") from error

    def _submit_array(self, groups: Sequence[StageRun]) -> list[Any]:
        executor = self.submitit.AutoExecutor(folder=groups[0].folder.parent / "submitit", cluster=self.cluster)
        parameters: dict[str, Any] = {
            "name": f"ptseg_{groups[0].name}",
            "timeout_min": DAY,
            "stderr_to_stdout": True,
            "gpus_per_node": 1 if groups[0].cfg.MODEL.DEVICE.startswith("cuda") else None,  # None = not asked for
            "slurm_array_parallelism": self.num_at_once or len(groups),
        }
        executor.update_parameters(**{**parameters, **self.options})
        with executor.batch():  # one array
            # `subprocess.run` ends its process when it is interrupted, submitit's own CommandFunction leaves it alone.
            return [
                executor.submit(subprocess.run, self.command(group), env=self._environment(number, groups), check=True)
                for number, group in enumerate(groups)
            ]

    def _environment(self, number: int, groups: Sequence[StageRun]) -> dict[str, str] | None:
        """On this machine all tasks run at once, each on its GPU; Slurm gives a task its own (None)."""
        if self.cluster != "local":
            return None
        return {**os.environ, **slot_environment(number, len(groups), gpus_for(groups[number]))}


def _key_and_value(option: str) -> tuple[str, int | str]:
    key, equals, value = option.partition("=")
    if not (key and equals and value):
        raise RecipeError(f"--slurm-option {option!r}: expected key=value, such as partition=gpu")
    return key, int(value) if value.isdigit() else value


def _import_submitit() -> ModuleType:
    try:
        import submitit
    except ImportError as error:
        raise RecipeError("--submitit needs submitit: pip install 'ptseg_d2[slurm]'") from error
    module: ModuleType = submitit
    return module
