#!/usr/bin/env python
r"""Train and evaluate a recipe: every stage the config needs, then scores, export and pictures.

    python tools/train_net.py --config-file configs/selftrain_icm.yaml OUTPUT_DIR out
    python tools/train_net.py --config-file configs/selftrain_icm.yaml --eval-only OUTPUT_DIR out

Finished stages are skipped; `--resume` continues the stage that was interrupted from its last checkpoint.

Groups of classes (INSTANCE.GROUPS) are independent runs. They run one after another, several at a time on this machine,
or as an array of Slurm tasks:

    python tools/train_net.py --config-file configs/selftrain_icm.yaml --num-groups-at-once 4
    python tools/train_net.py --config-file configs/selftrain_icm.yaml --submitit slurm \
        --slurm-option partition=gpu --slurm-option time=720

Your own images, a labelled and an unlabelled folder (datasets/README.md), are two options and no code:

    python tools/train_net.py --config-file configs/nuclei/selftrain.yaml --source-folder A --target-folder B
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path

from ptseg_d2.data.datasets.instance_folders import add_folder_arguments, folder_overrides
from ptseg_d2.errors import DataError, RecipeError
from ptseg_d2.recipe.checks import check_recipe, check_stages, unfinished
from ptseg_d2.recipe.configs import load_config, load_recipe
from ptseg_d2.recipe.finished_run import note_command
from ptseg_d2.recipe.folder_check import check_folders
from ptseg_d2.recipe.groups import Launcher, find_group
from ptseg_d2.recipe.launchers.processes import Processes
from ptseg_d2.recipe.launchers.slurm import CLUSTERS, SubmititTasks
from ptseg_d2.recipe.runner import run_stages
from ptseg_d2.recipe.stage_work import run_group
from ptseg_d2.report.report import write_report
from ptseg_d2.results.evaluation import evaluate_recipe
from ptseg_d2.results.rows import ResultRows
from ptseg_d2.results.tables import format_table
from ptseg_d2.runs.done import RESULTS
from ptseg_d2.stages import StageRun
from ptseg_d2.training.trainer import check_meta_architecture

import torch
from detectron2.config import CfgNode
from detectron2.engine import default_argument_parser, default_setup, launch
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

logger = logging.getLogger("ptseg_d2.tools.train_net")

USER_ERRORS = (DataError, FileNotFoundError, FloatingPointError, RecipeError, ValueError)
"""Errors whose message says it all: shown without a traceback (set PTSEG_TRACEBACK=1 to see it)."""


def build_parser() -> argparse.ArgumentParser:
    """Detectron2's arguments, those of groups and those of folders."""
    parser = default_argument_parser()
    add_folder_arguments(parser)
    groups = parser.add_argument_group("groups of classes, each an independent run")
    groups.add_argument("--num-groups-at-once", type=int, metavar="N", help="side by side, each in a process (1)")
    groups.add_argument("--submitit", choices=CLUSTERS, help="as tasks of Slurm (or all at once here) by submitit")
    groups.add_argument(
        "--slurm-option", action="append", default=[], metavar="KEY=VALUE", help="of the tasks, such as partition=gpu"
    )
    groups.add_argument("--group", metavar="STAGE/NAME", help="train this group only, such as instance_selftrain/car")
    return parser


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line; folders are turned into overrides, so that groups in other processes know them, too."""
    args = build_parser().parse_args(argv)
    args.opts = [*folder_overrides(args), *args.opts]
    return args


def main(args: argparse.Namespace) -> None:
    """Run one recipe, or one group of it, in this process (one of several under `launch`)."""
    torch.set_float32_matmul_precision("high")
    cfg = load_config(args.config_file, args.opts)
    runs = load_recipe(args.config_file, args.opts)
    launcher = build_launcher(args)
    for run in runs:
        check_meta_architecture(run.cfg)
    if not args.eval_only:
        check_stages(runs, comm.get_world_size())
    if args.group:
        group = find_group(runs, args.group)
        _set_up(group.cfg, args)
        run_group(group, args.resume)
        return
    check_recipe(cfg, runs, args.eval_only)
    _set_up(cfg, args)
    if not args.eval_only:
        if unfinished(runs):
            check_folders(cfg)
        run_stages(cfg, runs, args.resume, launcher)
    if comm.is_main_process():
        note_command(cfg.OUTPUT_DIR, args.config_file, args.opts)
    evaluate(cfg, ResultRows(cfg, runs), args.config_file)


def evaluate(cfg: CfgNode, rows: ResultRows, config_file: str) -> None:
    """Scores, export, pictures, report, and the table of scores in the log."""
    results = evaluate_recipe(cfg, rows, config_file)
    if cfg.DATASETS.TEST and comm.is_main_process():
        if cfg.EVAL.REPORT:
            write_report(cfg, rows, Path(cfg.OUTPUT_DIR, "report.html"))
        logger.info("%s:\n%s", Path(cfg.OUTPUT_DIR, RESULTS), format_table(results))


def build_launcher(args: argparse.Namespace) -> Launcher | None:
    """What runs groups in other processes; None = nothing, they run in this one.

    Raises:
        ValueError: the arguments contradict each other.
    """
    if args.group and (args.eval_only or args.submitit or args.num_groups_at_once is not None):
        raise ValueError(
            "--group trains one group and nothing else: leave out --eval-only, --submitit and --num-groups-at-once"
        )
    apart = bool(args.submitit) or (args.num_groups_at_once or 1) > 1
    if args.num_groups_at_once is not None and args.num_groups_at_once < 1:
        raise ValueError(f"--num-groups-at-once {args.num_groups_at_once}: expected 1 or more")
    if args.slurm_option and args.submitit != "slurm":
        raise ValueError("--slurm-option is for --submitit slurm")
    if args.submitit == "local" and args.num_groups_at_once is not None:
        raise ValueError(
            "--submitit local starts all groups at once; leave out --num-groups-at-once, or leave out --submitit to "
            "run that many side by side"
        )
    if not apart:
        return None
    if args.num_gpus * args.num_machines > 1:
        raise ValueError(
            "groups side by side (--num-groups-at-once, --submitit) take one GPU each; choose between them and one "
            "training over several GPUs (--num-gpus, --num-machines)"
        )
    command = partial(group_command, args)
    if args.submitit:
        return SubmititTasks(command, args.submitit, args.slurm_option, args.num_groups_at_once)
    return Processes(command, args.num_groups_at_once)


def group_command(args: argparse.Namespace, group: StageRun) -> list[str]:
    """The command line that trains one group of the recipe that `args` ask for."""
    command = [sys.executable, os.path.abspath(__file__), "--config-file", args.config_file, "--group", group.title]
    return [*command, *(["--resume"] if args.resume else []), *args.opts]


def _set_up(cfg: CfgNode, args: argparse.Namespace) -> None:
    """Logs, seeds and config.yaml in OUTPUT_DIR."""
    default_setup(cfg, args)
    setup_logger(cfg.OUTPUT_DIR, distributed_rank=comm.get_rank(), name="ptseg_d2")


def run() -> None:
    """Parse the command line and start the processes."""
    args = parse_arguments(sys.argv[1:])
    try:
        launch(
            main,
            args.num_gpus,
            num_machines=args.num_machines,
            machine_rank=args.machine_rank,
            dist_url=args.dist_url,
            args=(args,),
            # One process predicts the masks and the guidance of all target images while the others wait.
            timeout=timedelta(days=1),
        )
    except USER_ERRORS as error:
        if os.environ.get("PTSEG_TRACEBACK"):
            raise
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    run()
