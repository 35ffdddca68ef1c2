"""Groups of thing classes: a stage of the instance branch as several independent runs, each in its own sub-folder.

ALL is one group, BASE and CCM are three categories, ICM is one group per class (thesis section 9.3).
"""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ptseg_d2.data.datasets import classes_of
from ptseg_d2.errors import RecipeError
from ptseg_d2.recipe.configs import trains_groups
from ptseg_d2.recipe.rounds import GROUP_FOLDER
from ptseg_d2.recipe.target_files.masks import with_masks
from ptseg_d2.runs.records import is_finished, run_once

import torch
from detectron2.config import CfgNode
from detectron2.utils import comm

logger = logging.getLogger(__name__)

Launcher = Callable[[Sequence[CfgNode]], list[Path]]
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


def group_name(group: Sequence[str]) -> str:
    """Folder of a group below its stage: "car+bus", or "all"."""
    return "+".join(group).replace(" ", "_") or "all"


def group_config(cfg: CfgNode, group: Sequence[str]) -> CfgNode:
    """The config of one group of a stage."""
    cfg = with_masks(cfg).clone()
    cfg.defrost()
    cfg.OUTPUT_DIR = os.path.join(cfg.OUTPUT_DIR, group_name(group))
    cfg.MODEL.WEIGHTS = cfg.MODEL.WEIGHTS.replace(GROUP_FOLDER, group_name(group))
    cfg.INSTANCE.GROUP = list(group)
    cfg.freeze()
    return cfg


def run_configs(cfg: CfgNode) -> list[CfgNode]:
    """The runs of a stage: one, or one per group of classes."""
    if not trains_groups(cfg):
        return [cfg]
    return [group_config(cfg, group) for group in groups_of(cfg)]


def find_group(stages: Sequence[CfgNode], name: str) -> CfgNode:
    """The config of the group that `name` ("instance_selftrain/car") means.

    Raises:
        RecipeError: there is none; the message lists those that are.
    """
    groups = {run_name(group): group for cfg in stages if trains_groups(cfg) for group in run_configs(cfg)}
    if name not in groups:
        raise RecipeError(f"--group {name}: expected one of {', '.join(groups) or 'none, no stage has groups'}")
    return groups[name]


def run_name(cfg: CfgNode) -> str:
    """Stage and folder of a group, "instance_selftrain/car"."""
    return "/".join(Path(cfg.OUTPUT_DIR).parts[-2:])


def run_groups(
    cfg: CfgNode, work: Callable[[CfgNode], dict[str, Any] | None], launcher: Launcher | None = None
) -> None:
    """Run every group of a stage that is not finished; a group that fails does not keep the others from theirs.

    Args:
        cfg: config of the stage.
        work: does one group, see `run_once`.
        launcher: runs the groups elsewhere; None runs them here, one after another.

    Raises:
        RecipeError: at the end, names the groups that failed and where to read why.
        Exception: at once, whatever a group raised in one of several processes (--num-gpus): the others would wait for
            this one. Run the same command again; finished groups are skipped.
    """
    groups = run_configs(cfg)
    missing = [group for group in groups if not is_finished(group)]
    if not missing:
        logger.info("%s is finished, see %s", cfg.RECIPE.STAGE, cfg.OUTPUT_DIR)
        return
    failed = _run_here(missing, work) if launcher is None else _run_elsewhere(missing, launcher)
    if failed:
        reasons = "\n".join(f"  {name}: {reason}" for name, reason in failed.items())
        raise RecipeError(
            f"{len(failed)} of {len(groups)} groups of {cfg.OUTPUT_DIR} failed, the others are finished:\n{reasons}\n"
            "Run the same command again to repeat only what is missing (--resume continues from the last checkpoint)."
        )


def _run_here(groups: Sequence[CfgNode], work: Callable[[CfgNode], dict[str, Any] | None]) -> dict[str, str]:
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
                    run_name(group),
                )
                raise
            logger.exception("%s failed", run_name(group))
            failed[run_name(group)] = f"{type(error).__name__}: {error} (the log above has the traceback)"
        if run_name(group) in failed:  # only now nothing refers to its model any more
            free_cached_memory()
    return failed


def _run_elsewhere(groups: Sequence[CfgNode], launcher: Launcher) -> dict[str, str]:
    """Run groups in other processes; returns the log file of each that did not finish."""
    logs = launcher(groups)
    return {run_name(group): f"see {log}" for group, log in zip(groups, logs) if not is_finished(group)}


def free_cached_memory() -> None:
    """Collect what nobody refers to any more and give unused GPU memory back to the device."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
