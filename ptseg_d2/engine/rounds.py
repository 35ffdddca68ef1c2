"""Rounds of self-training: semantic and instance branch in turn, each from the last (thesis, future work).

A round is a `semantic_selftrain` and an `instance_selftrain` stage. The first is as the files say; the stages
of a later one lie in `OUTPUT_DIR/<stage>_round<n>`. A round counts as tried once its agreement, see
`ptseg_d2.engine.agreement`, is written beside its instance models.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ptseg_d2.engine.masks import MASKS
from ptseg_d2.engine.records import ORACLE_GUIDANCE, PREDICTED_GUIDANCE, RecipeError, runs_below

from detectron2.config import CfgNode

SEMANTIC, INSTANCE = "semantic_selftrain", "instance_selftrain"

GROUP_FOLDER = "{group}"
"""Stands for the name of a group in MODEL.WEIGHTS of a stage whose groups each start from their own weights."""

INDEX = "index.json"
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
    rounds = [(by_name[SEMANTIC], by_name[INSTANCE])]
    for number in range(2, top.RECIPE.ROUNDS + 1):
        rounds.append(_next_round(top, rounds[-1], number))
    return [cfg for pair in rounds[1:] for cfg in pair]


def _check_guidance(top: CfgNode) -> None:
    guidance = top.RECIPE.GUIDANCE
    if guidance not in GUIDANCES:
        raise RecipeError(f"RECIPE.GUIDANCE = {guidance!r}; expected one of {', '.join(GUIDANCES)}")
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


def round_record(pair: Round) -> tuple[Path, dict[str, Any]]:
    """Where the agreement of a round is written, and the runs that it is about: folder -> identity."""
    folders = [Path(pair[0].OUTPUT_DIR), *(done.parent for done in runs_below(pair[1].OUTPUT_DIR))]
    done_files = [folder / "done.json" for folder in folders if (folder / "done.json").exists()]
    runs = {file.parent.name: json.loads(file.read_text(encoding="utf-8")).get("id", "") for file in done_files}
    return Path(pair[1].OUTPUT_DIR) / "agreement.json", runs


def read_agreement(pair: Round) -> float | None:
    """The agreement of a round in percent; None if it was not measured on the models that are there now."""
    path, runs = round_record(pair)
    if not path.exists():
        return None
    record = json.loads(path.read_text(encoding="utf-8"))
    return float(record["agreement"]) if record["runs"] == runs else None


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


def without_untried_rounds(stages: Sequence[CfgNode]) -> list[CfgNode]:
    """The stages of a recipe without the rounds after those that were tried."""
    last = max(1, len(tried_rounds(stages)))
    return [cfg for cfg in stages if cfg.RECIPE.ROUND <= last]
