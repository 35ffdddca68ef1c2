"""Rounds of self-training: semantic and instance branch in turn, each from the last (thesis, future work).

A round is a `semantic_selftrain` and an `instance_selftrain` stage. The first is as the files say; the stages
of a later one lie in `OUTPUT_DIR/<stage>_round<n>`. A round counts as tried once its agreement, see
`ptseg_d2.recipe.agreement`, is written beside its instance models.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ptseg_d2.errors import RecipeError
from ptseg_d2.recipe.target_files.masks import MASKS
from ptseg_d2.runs.image_folders import INDEX
from ptseg_d2.runs.records import ORACLE_GUIDANCE, PREDICTED_GUIDANCE, runs_below

from detectron2.config import CfgNode

SEMANTIC, INSTANCE = "semantic_selftrain", "instance_selftrain"

GROUP_FOLDER = "{group}"
"""Stands for the name of a group in MODEL.WEIGHTS of a stage whose groups each start from their own weights."""

GUIDANCES = ("predicted", "none", "ground_truth")
Round = tuple[CfgNode, CfgNode]
"""Configs of the semantic and of the instance stage."""


def stage_name(cfg: CfgNode) -> str:
    """Name and folder of a stage: RECIPE.STAGE, and from the second round on its number."""
    return cfg.RECIPE.STAGE if cfg.RECIPE.ROUND == 1 else f"{cfg.RECIPE.STAGE}_round{cfg.RECIPE.ROUND}"


def later_rounds(top: CfgNode, stages: Sequence[CfgNode]) -> list[CfgNode]:
    """Configs of the second and further rounds of RECIPE.ROUNDS, not yet frozen.

    Args:
        top: the config the user asked for.
        stages: those of the first round and before, each with its own OUTPUT_DIR.

    Raises:
        RecipeError: there is no round to repeat, or keys of the rounds contradict each other.
    """
    if top.RECIPE.ROUNDS < 1:
        raise RecipeError(f"RECIPE.ROUNDS = {top.RECIPE.ROUNDS}; expected 1 or more")
    if top.RECIPE.ROUNDS == 1:
        return []
    _check_guidance(top)
    by_name = {cfg.RECIPE.STAGE: cfg for cfg in stages}
    if not {SEMANTIC, INSTANCE} <= by_name.keys():
        raise RecipeError(
            f"RECIPE.ROUNDS = {top.RECIPE.ROUNDS} repeats the stages {SEMANTIC} and {INSTANCE}, but this recipe has "
            f"only {', '.join(by_name)}; use configs/selftrain_icm.yaml, or RECIPE.ROUNDS 1"
        )
    kind = by_name[SEMANTIC].MODEL.SELF_TRAINING.PSEUDO_LABELS
    if kind in ("predicted", "none"):
        raise RecipeError(
            f"RECIPE.ROUNDS = {top.RECIPE.ROUNDS} needs a teacher that labels, and "
            f"MODEL.SELF_TRAINING.PSEUDO_LABELS is {kind!r}; use 'class_thresholds' or 'confidence_share', "
            "or RECIPE.ROUNDS 1"
        )
    rounds = [(by_name[SEMANTIC], by_name[INSTANCE])]
    for number in range(2, top.RECIPE.ROUNDS + 1):
        rounds.append(_next_round(top, rounds[-1], number))
    return [cfg for pair in rounds[1:] for cfg in pair]


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
    semantic, instance = (cfg.clone() for cfg in last)
    for cfg in (semantic, instance):
        cfg.defrost()
        cfg.RECIPE.ROUND = number
        cfg.OUTPUT_DIR = os.path.join(top.OUTPUT_DIR, stage_name(cfg))
    semantic.RECIPE.INIT_FROM = semantic.RECIPE.MASKS_FROM = stage_name(last[0])
    semantic.MODEL.WEIGHTS = os.path.join(last[0].OUTPUT_DIR, "model_final.pth")
    semantic.INPUT.PREDICTED_MASKS = os.path.join(last[0].OUTPUT_DIR, MASKS)
    semantic.INPUT.GUIDANCE_MASKS = guidance_file(top, last[1])
    instance.RECIPE.INIT_FROM, instance.RECIPE.MASKS_FROM = stage_name(last[1]), stage_name(semantic)
    instance.MODEL.WEIGHTS = os.path.join(last[1].OUTPUT_DIR, GROUP_FOLDER, "model_final.pth")
    instance.INPUT.PREDICTED_MASKS = os.path.join(semantic.OUTPUT_DIR, MASKS)
    return semantic, instance


def guidance_file(top: CfgNode, instance: CfgNode) -> str:
    """index.json of the instance masks that guide a semantic stage; "" = none.

    Args:
        top: the config the user asked for.
        instance: instance stage of the round before.
    """
    files = {
        "predicted": Path(instance.OUTPUT_DIR) / PREDICTED_GUIDANCE / INDEX,
        "ground_truth": Path(top.OUTPUT_DIR) / ORACLE_GUIDANCE / INDEX,
        "none": "",
    }
    return str(files[top.RECIPE.GUIDANCE])


def rounds_of(stages: Sequence[CfgNode]) -> list[Round]:
    """The rounds of a recipe, in order; none for a recipe without both stages."""
    by_key = {(cfg.RECIPE.STAGE, cfg.RECIPE.ROUND): cfg for cfg in stages}
    numbers = range(1, max((cfg.RECIPE.ROUND for cfg in stages), default=0) + 1)
    keys = [((SEMANTIC, number), (INSTANCE, number)) for number in numbers]
    return [(by_key[a], by_key[b]) for a, b in keys if a in by_key and b in by_key]


def runs_of_round(pair: Round) -> dict[str, str]:
    """The finished runs of a round: folder -> identity."""
    folders = [Path(pair[0].OUTPUT_DIR), *(done.parent for done in runs_below(pair[1].OUTPUT_DIR))]
    done_files = [folder / "done.json" for folder in folders if (folder / "done.json").exists()]
    return {file.parent.name: json.loads(file.read_text(encoding="utf-8")).get("id", "") for file in done_files}


def agreement_file(pair: Round) -> Path:
    """Where the agreement of a round is written."""
    return Path(pair[1].OUTPUT_DIR) / "agreement.json"


def agreement_basis(pair: Round) -> dict[str, Any]:
    """What an agreement depends on: the runs, and the keys that say how it is measured."""
    options = pair[1].EVAL
    return {
        "runs": runs_of_round(pair),
        "images": pair[1].RECIPE.AGREEMENT_IMAGES,
        "seed": pair[1].SEED,
        "instances": [options.MIN_SCORE, options.OPENING, options.CLOSING],
    }


def read_agreement(pair: Round) -> float | None:
    """The agreement of a round in percent; None if that was not measured on the models that are there now."""
    path = agreement_file(pair)
    if not path.exists():
        return None
    record = json.loads(path.read_text(encoding="utf-8"))
    return float(record["agreement"]) if record.get("basis") == agreement_basis(pair) else None


def tried_rounds(stages: Sequence[CfgNode]) -> list[tuple[Round, float]]:
    """The rounds with a measured agreement, from the first on."""
    tried = []
    for pair in rounds_of(stages):
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
