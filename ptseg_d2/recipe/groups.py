"""Groups of thing classes: a stage of the instance branch as several independent runs, each in its own sub-folder.

ALL is one group, BASE and CCM are three categories, ICM is one group per class ([thesis], section 9.3).
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from ptseg_d2.data.datasets import classes_of
from ptseg_d2.errors import RecipeError
from ptseg_d2.runs.records import StageWork, is_finished, run_once
from ptseg_d2.stages import StageRun

import torch
from detectron2.config import CfgNode
from detectron2.utils import comm

logger = logging.getLogger(__name__)

Launcher = Callable[[Sequence[StageRun]], list[Path]]
"""Runs groups in other processes, waits for all of them, whatever becomes of each, and returns their log files."""


def groups_of(cfg: CfgNode) -> list[list[str]]:
    """INSTANCE.GROUPS; one group of all things when it is empty.

    Raises:
        ValueError: a name is no class.
        RecipeError: a class is in two groups.
    """
    groups = [list(group) for group in cfg.INSTANCE.GROUPS] or [[]]
    names = [name for group in groups for name in group]
    classes_of(cfg).ids(names)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RecipeError(f"INSTANCE.GROUPS names {twice[0]!r} twice; each class belongs to one group")
    return groups


def parts_of(run: StageRun) -> list[StageRun]:
    """The runs of a stage: itself, or one per group of classes."""
    return [run.of_group(group) for group in groups_of(run.cfg)] if run.has_groups else [run]


def find_group(runs: Sequence[StageRun], title: str) -> StageRun:
    """The group that `title` ("instance_selftrain/car") means.

    Raises:
        RecipeError: there is none; the message lists those that are.
    """
    groups = {group.title: group for run in runs if run.has_groups for group in parts_of(run)}
    if title not in groups:
        raise RecipeError(f"--group {title}: expected one of {', '.join(groups) or 'none, no stage has groups'}")
    return groups[title]


def run_groups(run: StageRun, work: StageWork, launcher: Launcher | None = None) -> None:
    """Run every group of a stage that is not finished; a group that fails does not keep the others from theirs.

    Args:
        run: a stage that has groups.
        work: does one group, see `run_once`.
        launcher: runs the groups elsewhere; None runs them here, one after another.

    Raises:
        RecipeError: at the end, names the groups that failed and where to read why.
        Exception: at once, whatever a group raised in one of several processes (--num-gpus): the others would wait for
            this one. Run the same command again; finished groups are skipped.
    """
    groups = parts_of(run)
    missing = [group for group in groups if not is_finished(group)]
    if not missing:
        logger.info("%s is finished, see %s", run.name, run.folder)
        return
    failed = _run_here(missing, work) if launcher is None else _run_elsewhere(missing, launcher)
    if failed:
        reasons = "\n".join(f"  {name}: {reason}" for name, reason in failed.items())
        raise RecipeError(
            f"{len(failed)} of {len(groups)} groups of {run.folder} failed, the others are finished:\n{reasons}\n"
            "Run the same command again to repeat only what is missing (--resume continues from the last checkpoint)."
        )


def _run_here(groups: Sequence[StageRun], work: StageWork) -> dict[str, str]:
    """Run groups one after another; returns the error of each that failed."""
    failed: dict[str, str] = {}
    for group in groups:
        try:
            run_once(group, work)
        except Exception as error:
            if comm.get_world_size() > 1:  # the other processes would wait for this one in the middle of a step
                logger.error(
                    "%s failed; with several processes (--num-gpus) this ends the run at once. Run the same command "
                    "again: finished groups are skipped.",
                    group.title,
                )
                raise
            logger.exception("%s failed", group.title)
            failed[group.title] = f"{type(error).__name__}: {error} (the log above has the traceback)"
        if group.title in failed:  # only now nothing refers to its model any more
            free_cached_memory()
    return failed


def _run_elsewhere(groups: Sequence[StageRun], launcher: Launcher) -> dict[str, str]:
    """Run groups in other processes; returns the log file of each that did not finish."""
    logs = launcher(groups)
    return {group.title: f"see {log}" for group, log in zip(groups, logs) if not is_finished(group)}


def free_cached_memory() -> None:
    """Collect what nobody refers to any more and give unused GPU memory back to the device."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
