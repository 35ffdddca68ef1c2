"""The stages of a recipe in their order; rounds of self-training end by themselves."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ptseg_d2.recipe.agreement import note_agreement
from ptseg_d2.recipe.groups import Launcher
from ptseg_d2.recipe.models import StageModels
from ptseg_d2.recipe.rounds import best_round, rounds_of
from ptseg_d2.recipe.stage_work import run_stage
from ptseg_d2.recipe.target_files.guidance import prepare_guidance
from ptseg_d2.stages import StageRun

from detectron2.config import CfgNode

logger = logging.getLogger(__name__)


def run_stages(cfg: CfgNode, runs: Sequence[StageRun], resume: bool, launcher: Launcher | None = None) -> None:
    """Run what is not finished of a recipe.

    After each of several rounds the agreement of student and teacher is measured; when it does not rise, the round
    before is the result and no further one begins.

    Args:
        cfg: the config the user asked for.
        runs: its stages.
        resume: continue an interrupted training from its last checkpoint.
        launcher: runs groups in other processes.
    """
    for run in runs:
        if run.inputs.round == 1:
            run_stage(run, resume, launcher)
    rounds = rounds_of(runs)
    agreements: list[float] = []
    for position, pair in enumerate(rounds if len(rounds) > 1 else []):
        if position > 0:
            prepare_guidance(cfg, StageModels(cfg, runs), rounds[position - 1], pair.semantic.inputs.guidance)
            for run in pair:
                run_stage(run, resume, launcher)
        agreements.append(note_agreement(StageModels(cfg, runs), pair))
        if best_round(agreements) < position:
            logger.info("Rounds end: the agreement of student and teacher no longer rises, round %d counts", position)
            return
