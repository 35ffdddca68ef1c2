"""Rounds of self-training: semantic and instance branch in turn, each from the last ([thesis], section 14.2).

A round is a `semantic_selftrain` and an `instance_selftrain` stage. The first is as the files say; the stages
of a later one lie in `OUTPUT_DIR/<stage>_round<n>`. A round counts as tried once its agreement, see
`ptseg_d2.recipe.agreement`, is written beside its instance models.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ptseg_d2.errors import RecipeError
from ptseg_d2.pseudo_labels.rules import PSEUDO_LABEL_REGISTRY
from ptseg_d2.runs.done import DONE, identity
from ptseg_d2.runs.image_folders import MASKS, ORACLE_GUIDANCE, PREDICTED_GUIDANCE
from ptseg_d2.runs.upstream import groups_below
from ptseg_d2.stages import STAGES, StageRun
from ptseg_d2.stages.run import stage_folder

from detectron2.config import CfgNode

SEMANTIC, INSTANCE = STAGES["semantic_selftrain"], STAGES["instance_selftrain"]
"""The stages that a round repeats."""

GUIDANCES = ("predicted", "none", "ground_truth")

STUFF = "min_stuff_area"
"""In the basis of an agreement: EVAL.MIN_STUFF_AREA."""


class Round(NamedTuple):
    """The two stages of a round."""

    semantic: StageRun
    instance: StageRun

    @property
    def number(self) -> int:
        """From 1 on."""
        return self.semantic.inputs.round


def later_rounds(top: CfgNode, runs: Mapping[str, StageRun]) -> list[StageRun]:
    """The stages of the second and further rounds of RECIPE.ROUNDS.

    Args:
        top: the config the user asked for.
        runs: those of the first round and before, by stage.

    Raises:
        RecipeError: there is no round to repeat, or keys of the rounds contradict each other.
    """
    if top.RECIPE.ROUNDS < 1:
        raise RecipeError(f"RECIPE.ROUNDS = {top.RECIPE.ROUNDS}; expected 1 or more")
    if top.RECIPE.ROUNDS == 1:
        return []
    _check_guidance(top)
    if not {SEMANTIC.name, INSTANCE.name} <= runs.keys():
        raise RecipeError(
            f"RECIPE.ROUNDS = {top.RECIPE.ROUNDS} repeats the stages {SEMANTIC.name} and {INSTANCE.name}, but this "
            f"recipe has only {', '.join(runs)}; use configs/selftrain_icm.yaml, or RECIPE.ROUNDS 1"
        )
    rounds = [Round(runs[SEMANTIC.name], runs[INSTANCE.name])]
    kind = rounds[0].semantic.cfg.MODEL.SELF_TRAINING.PSEUDO_LABELS
    if not PSEUDO_LABEL_REGISTRY.get(kind).asks_teacher:
        able = " or ".join(repr(name) for name, rule in PSEUDO_LABEL_REGISTRY if rule.asks_teacher)
        raise RecipeError(
            f"RECIPE.ROUNDS = {top.RECIPE.ROUNDS} needs a teacher that labels, and "
            f"MODEL.SELF_TRAINING.PSEUDO_LABELS is {kind!r}; use {able}, or RECIPE.ROUNDS 1"
        )
    for number in range(2, top.RECIPE.ROUNDS + 1):
        rounds.append(_next_round(top, rounds[-1], number))
    return [run for pair in rounds[1:] for run in pair]


def _check_guidance(top: CfgNode) -> None:
    guidance, share = top.RECIPE.GUIDANCE, top.RECIPE.ORACLE_GUIDANCE_SHARE
    if guidance not in GUIDANCES:
        raise RecipeError(f"RECIPE.GUIDANCE = {guidance!r}; expected one of {', '.join(GUIDANCES)}")
    if top.RECIPE.AGREEMENT_IMAGES < 1:
        raise RecipeError(f"RECIPE.AGREEMENT_IMAGES = {top.RECIPE.AGREEMENT_IMAGES}; expected 1 or more")
    if not 0 < share <= 1:
        raise RecipeError(f"RECIPE.ORACLE_GUIDANCE_SHARE = {share}; expected a share in (0, 1]")
    if guidance == "ground_truth" and not top.RECIPE.ORACLE_GUIDANCE:
        raise RecipeError(
            "RECIPE.GUIDANCE = 'ground_truth' reads labels of the target, which no domain adaptation may: name the "
            "labelled twin of DATASETS.TARGET in RECIPE.ORACLE_GUIDANCE if you want that"
        )


def _next_round(top: CfgNode, last: Round, number: int) -> Round:
    """Both stages again, from the weights of the last round; the masks of each come from the stage before it."""
    semantic_folder, instance_folder = (
        os.path.join(top.OUTPUT_DIR, stage_folder(run.stage, number)) for run in (last.semantic, last.instance)
    )
    semantic = last.semantic.with_keys(
        {
            "OUTPUT_DIR": semantic_folder,
            "RECIPE.INIT_FROM": last.semantic.name,
            "RECIPE.MASKS_FROM": last.semantic.name,
            "MODEL.WEIGHTS": str(last.semantic.final_weights),
        }
    )
    instance = last.instance.with_keys(
        {
            "OUTPUT_DIR": instance_folder,
            "RECIPE.INIT_FROM": last.instance.name,
            "RECIPE.MASKS_FROM": stage_folder(SEMANTIC, number),
        }
    )
    semantic_inputs = dataclasses.replace(
        last.semantic.inputs,
        masks=str(last.semantic.folder / MASKS),
        guidance=guidance_file(top, last.instance),
        round=number,
    )
    instance_inputs = dataclasses.replace(last.instance.inputs, masks=str(Path(semantic_folder) / MASKS), round=number)
    return Round(
        dataclasses.replace(semantic, inputs=semantic_inputs),
        dataclasses.replace(instance, inputs=instance_inputs, starts_from=str(last.instance.folder)),
    )


def guidance_file(top: CfgNode, instance: StageRun) -> str:
    """index.json of the instance masks that guide a semantic stage; "" = none.

    Args:
        top: the config the user asked for.
        instance: instance stage of the round before.
    """
    files = {
        "predicted": str(instance.folder / PREDICTED_GUIDANCE),
        "ground_truth": str(Path(top.OUTPUT_DIR) / ORACLE_GUIDANCE),
        "none": "",
    }
    return files[top.RECIPE.GUIDANCE]


def rounds_of(runs: Sequence[StageRun]) -> list[Round]:
    """The rounds of a recipe, in order; none for a recipe without both stages."""
    by_key = {(run.stage.name, run.inputs.round): run for run in runs}
    numbers = range(1, max((run.inputs.round for run in runs), default=0) + 1)
    keys = [((SEMANTIC.name, number), (INSTANCE.name, number)) for number in numbers]
    return [Round(by_key[a], by_key[b]) for a, b in keys if a in by_key and b in by_key]


def runs_of_round(pair: Round) -> dict[str, str]:
    """The finished runs of a round: folder -> identity."""
    folders = [pair.semantic.folder, *(done.parent for done in groups_below(pair.instance.folder))]
    return {folder.name: identity(folder) for folder in folders if (folder / DONE).exists()}


def agreement_file(pair: Round) -> Path:
    """Where the agreement of a round is written."""
    return pair.instance.folder / "agreement.json"


def agreement_basis(pair: Round) -> dict[str, Any]:
    """What an agreement depends on: the runs, and the keys that say how it is measured."""
    cfg = pair.instance.cfg
    return {
        "runs": runs_of_round(pair),
        "images": cfg.RECIPE.AGREEMENT_IMAGES,
        "seed": cfg.SEED,
        "instances": [cfg.EVAL.MIN_SCORE, cfg.EVAL.OPENING, cfg.EVAL.CLOSING],
        STUFF: cfg.EVAL.MIN_STUFF_AREA,
    }


def read_agreement(pair: Round) -> float | None:
    """The agreement of a round in percent; None if that was not measured on the models that are there now."""
    path = agreement_file(pair)
    if not path.exists():
        return None
    record, basis = json.loads(path.read_text(encoding="utf-8")), agreement_basis(pair)
    then = {STUFF: basis[STUFF], **record.get("basis", {})}  # older records lack it, when no two visits could differ
    return float(record["agreement"]) if then == basis else None


def tried_rounds(runs: Sequence[StageRun]) -> list[tuple[Round, float]]:
    """The rounds with a measured agreement, from the first on."""
    tried = []
    for pair in rounds_of(runs):
        agreement = read_agreement(pair)
        if agreement is None:
            break
        tried.append((pair, agreement))
    return tried


def best_round(agreements: Sequence[float]) -> int:
    """Position of the last round up to which each agreement was above the one before.

    Args:
        agreements: of the rounds from the first on, at least one.
    """
    for position in range(1, len(agreements)):
        if agreements[position] <= agreements[position - 1]:
            return position - 1
    return len(agreements) - 1
