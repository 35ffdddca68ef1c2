"""Recipes: a config names the stages it needs; what is finished is skipped, what is missing is run.

`OUTPUT_DIR/<stage>/` holds a stage's checkpoints, logs and, once it is finished, `done.json`; the stages that a config
needs are in `RECIPE.NEEDS_DIR/<stage>/`, so that several configs can share them.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from ptseg_d2.config.loading import merge_overrides, merged_config
from ptseg_d2.data.datasets import register_folders
from ptseg_d2.errors import RecipeError
from ptseg_d2.modeling.backbones.timm_backbone import take_pixel_statistics
from ptseg_d2.recipe.overrides import aimed, check_aims, check_overrides, overrides_for
from ptseg_d2.recipe.rounds import later_rounds
from ptseg_d2.runs.image_folders import DETECTIONS, MASKS
from ptseg_d2.stages import STAGES, StageInputs, StageRun
from ptseg_d2.stages.run import FINAL_WEIGHTS
from ptseg_d2.stages.table import Branch

from detectron2.config import CfgNode


def load_config(config_file: str | os.PathLike[str], overrides: Sequence[str] = ()) -> CfgNode:
    """One config file with command-line overrides.

    Args:
        config_file: YAML with `_BASE_` as in Detectron2.
        overrides: alternating keys and values; a key may be aimed at a stage, see `ptseg_d2.recipe.overrides`.

    Raises:
        FileNotFoundError: the file, or the one that RECIPE.SEMANTIC_NETWORK names, does not exist.
        RecipeError: a key is unknown, or RECIPE.STAGE is not a stage.
    """
    cfg = _merge([config_file], overrides)
    register_folders(cfg)
    return _with_network(cfg, config_file, overrides, _network_file(cfg, config_file))


def load_recipe(config_file: str | os.PathLike[str], overrides: Sequence[str] = ()) -> list[StageRun]:
    """All stages of a recipe in the order in which they run, each with its own OUTPUT_DIR and its inputs.

    The data sets and their folders, the seed, the device and the semantic network of the asked config hold for the
    stages it needs, and so do the command-line overrides; but INSTANCE.GROUPS splits only those stages whose own file,
    or an override that is aimed at them, has groups.

    Args:
        config_file: the config the user asked for.
        overrides: alternating keys and values; reach every stage, but for those that are aimed at one.

    Returns:
        Needed stages first; a config without RECIPE.STAGE only evaluates and is not among them.

    Raises:
        RecipeError: as from `load_config`; or a needed file is of no stage or of that of another file, a stage starts
            from one with other groups, or rounds contradict it.
    """
    top = load_config(config_file, overrides)
    configs = [*_needed_configs(top, config_file, overrides), *([top.clone()] if top.RECIPE.STAGE else [])]
    _check_one_file_each([cfg.RECIPE.STAGE for cfg in configs], [*top.RECIPE.NEEDS, os.path.basename(config_file)])
    check_aims(overrides, [cfg.RECIPE.STAGE for cfg in configs])
    needs_dir = Path(top.RECIPE.NEEDS_DIR or top.OUTPUT_DIR)
    runs: dict[str, StageRun] = {}
    for cfg in configs:
        cfg.OUTPUT_DIR = os.path.join(cfg.OUTPUT_DIR, cfg.RECIPE.STAGE)
        run = StageRun(STAGES[cfg.RECIPE.STAGE], cfg, _inputs_of(cfg, needs_dir), needs_dir=needs_dir)
        run = _with_start(run, runs)
        cfg.freeze()
        runs[cfg.RECIPE.STAGE] = run
    return [*runs.values(), *later_rounds(top, runs)]


def _needed_configs(top: CfgNode, config_file: str | os.PathLike[str], overrides: Sequence[str]) -> list[CfgNode]:
    """The configs of RECIPE.NEEDS, with what the asked config decides for all."""
    network = _network_file(top, config_file)
    needed = []
    for file in (Path(config_file).parent / name for name in top.RECIPE.NEEDS):
        cfg = _with_network(_merge([file], overrides), file, overrides, network)
        cfg.DATASETS = top.DATASETS.clone()
        cfg.WORLD = top.WORLD.clone()
        cfg.SEED = top.SEED
        cfg.MODEL.DEVICE = top.MODEL.DEVICE
        cfg.OUTPUT_DIR = top.RECIPE.NEEDS_DIR or top.OUTPUT_DIR
        if cfg.INSTANCE.GROUPS and not _merge([file], aimed(overrides)).INSTANCE.GROUPS:
            cfg.INSTANCE.GROUPS = []
        needed.append(cfg)
    return needed


def _check_one_file_each(stages: Sequence[str], files: Sequence[str]) -> None:
    """Raise a RecipeError where two of a recipe's files are configs of one stage, or one is of none."""
    file_of: dict[str, str] = {}
    for stage, file in zip(stages, files):
        if not stage:
            raise RecipeError(f"{file} in RECIPE.NEEDS has no RECIPE.STAGE; name a config that trains one stage")
        if stage in file_of:
            raise RecipeError(
                f"{file_of[stage]} and {file} are both RECIPE.STAGE {stage!r}; a recipe has each stage once, so leave "
                "one of them out of RECIPE.NEEDS"
            )
        file_of[stage] = file


def _inputs_of(cfg: CfgNode, needs_dir: Path) -> StageInputs:
    """Files of the stages that RECIPE.MASKS_FROM and RECIPE.DETECTIONS_FROM name, unless the user named files."""
    named = StageInputs.from_config(cfg)
    masks = str(needs_dir / cfg.RECIPE.MASKS_FROM / MASKS) if cfg.RECIPE.MASKS_FROM else ""
    detections = str(needs_dir / cfg.RECIPE.DETECTIONS_FROM / DETECTIONS) if cfg.RECIPE.DETECTIONS_FROM else ""
    return dataclasses.replace(named, masks=named.masks or masks, detections=named.detections or detections)


def _with_start(run: StageRun, runs: Mapping[str, StageRun]) -> StageRun:
    """A run with the weights of the stage that RECIPE.INIT_FROM names; its config is not frozen yet.

    Raises:
        RecipeError: that stage has groups, but this one has none, or others than those.
    """
    start = run.cfg.RECIPE.INIT_FROM
    if not start:
        return run
    if start not in runs or not runs[start].has_groups:
        run.cfg.MODEL.WEIGHTS = str(run.needs_dir / start / FINAL_WEIGHTS)
        return run
    theirs = runs[start].cfg.INSTANCE.GROUPS
    own = run.cfg.INSTANCE.GROUPS if run.has_groups else []
    if not own or any(group not in theirs for group in own):
        raise RecipeError(
            f"stage {run.name} starts from {start} (RECIPE.INIT_FROM), which has one run for each of "
            f"{theirs}, but its own INSTANCE.GROUPS are {own}; choose them among those"
        )
    return dataclasses.replace(run, starts_from=str(run.needs_dir / start))


def _merge(files: Sequence[str | os.PathLike[str]], overrides: Sequence[str]) -> CfgNode:
    """The defaults with config files and overrides merged over them, in that order."""
    check_overrides(overrides)
    cfg = merged_config(files, overrides_for("", overrides))
    merge_overrides(cfg, overrides_for(cfg.RECIPE.STAGE, overrides), str(files[0]))
    take_pixel_statistics(cfg)
    if cfg.RECIPE.STAGE not in ("", *STAGES):
        raise RecipeError(f"{files[0]}: RECIPE.STAGE = {cfg.RECIPE.STAGE!r}; expected '' or one of {', '.join(STAGES)}")
    return cfg


def _network_file(cfg: CfgNode, config_file: str | os.PathLike[str]) -> Path | None:
    name = cfg.RECIPE.SEMANTIC_NETWORK
    return Path(config_file).parent / name if name else None


def _with_network(
    cfg: CfgNode, config_file: str | os.PathLike[str], overrides: Sequence[str], network: Path | None
) -> CfgNode:
    """A semantic stage with the network's file between its own file and the overrides; other stages as they are."""
    stage = STAGES.get(cfg.RECIPE.STAGE)
    if network is None or stage is None or stage.branch is not Branch.SEMANTIC:
        return cfg
    return _merge([config_file, network], overrides)
