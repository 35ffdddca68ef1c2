#!/usr/bin/env python
"""Train and evaluate a recipe: every stage the config needs, then scores, export and pictures.

    python tools/train_net.py --config-file configs/selftrain_icm.yaml OUTPUT_DIR out
    python tools/train_net.py --config-file configs/selftrain_icm.yaml --eval-only OUTPUT_DIR out

Finished stages are skipped; `--resume` continues the stage that was interrupted from its last checkpoint.
"""

from __future__ import annotations

import argparse
import os
import sys

from ptseg_d2.data.image_files import DataError
from ptseg_d2.engine.evaluation import evaluate_recipe
from ptseg_d2.engine.recipe import RecipeError, load_config, load_recipe
from ptseg_d2.engine.stages import check_stages, run_stage
from ptseg_d2.engine.trainer import check_meta_architecture

import torch
from detectron2.engine import default_argument_parser, default_setup, launch
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

USER_ERRORS = (DataError, FileNotFoundError, RecipeError, ValueError)
"""Errors whose message says it all: shown without a traceback (set PTSEG_TRACEBACK=1 to see it)."""


def main(args: argparse.Namespace) -> None:
    """Run one recipe in this process (one of several under `launch`)."""
    torch.set_float32_matmul_precision("high")
    cfg = load_config(args.config_file, args.opts)
    stages = load_recipe(args.config_file, args.opts)
    for stage in stages:
        check_meta_architecture(stage)
    if not args.eval_only:
        check_stages(stages, comm.get_world_size())
    default_setup(cfg, args)
    setup_logger(cfg.OUTPUT_DIR, distributed_rank=comm.get_rank(), name="ptseg_d2")
    if not args.eval_only:
        for stage in stages:
            run_stage(stage, args.resume)
    evaluate_recipe(cfg, stages, args.config_file)


def run() -> None:
    """Parse the command line and start the processes."""
    args = default_argument_parser().parse_args()
    try:
        launch(
            main,
            args.num_gpus,
            num_machines=args.num_machines,
            machine_rank=args.machine_rank,
            dist_url=args.dist_url,
            args=(args,),
        )
    except USER_ERRORS as error:
        if os.environ.get("PTSEG_TRACEBACK"):
            raise
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    run()
