"""Recipes: a config names the stages it needs; what is finished is skipped, what is missing is run.

`OUTPUT_DIR/<stage>/` holds a stage's checkpoints, logs and, once it is finished, `done.json`; the stages that a config
needs are in `RECIPE.NEEDS_DIR/<stage>/`, so that several configs can share them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ptseg_d2.config import get_ptseg_cfg
from ptseg_d2.data.datasets import register_folders
from ptseg_d2.errors import RecipeError
from ptseg_d2.recipe.rounds import GROUP_FOLDER, later_rounds

import yaml
from detectron2.config import CfgNode

STAGES = (
    "semantic_source",
    "semantic_styled",
    "semantic_adapted",
    "semantic_selftrain",
    "instance_source",
    "instance_adapted",
    "instance_selftrain",
    "instance_mix",
    "panoptic_source",
    "panoptic_adapted",
    "panoptic_selftrain",
    "detector_source",
    "detector_zoo",
)
"""Every stage a recipe can have, in the order in which results are reported."""


def load_config(config_file: str | os.PathLike[str], overrides: Sequence[str] = ()) -> CfgNode:
    """One config file with command-line overrides.

    Args:
        config_file: YAML with `_BASE_` as in Detectron2.
        overrides: alternating keys and values.

    Raises:
        FileNotFoundError: the file, or the one that RECIPE.SEMANTIC_NETWORK names, does not exist.
        RecipeError: a key is unknown, or RECIPE.STAGE is not a stage.
    """
    cfg = _merge([config_file], overrides)
    register_folders(cfg)
    return _with_network(cfg, config_file, overrides, _network_file(cfg, config_file))


def load_recipe(config_file: str | os.PathLike[str], overrides: Sequence[str] = ()) -> list[CfgNode]:
    """Configs of all stages of a recipe in the order in which they run, each with its own OUTPUT_DIR.

    The data sets and their folders, the seed, the device and the semantic network of the asked config hold for the
    stages it needs, and so do the command-line overrides; but INSTANCE.GROUPS splits only those stages whose own file
    has groups.

    Args:
        config_file: the config the user asked for.
        overrides: alternating keys and values; reach every stage.

    Returns:
        Needed stages first; a config without RECIPE.STAGE only evaluates and is not among them. RECIPE.NEEDS_DIR
        is the folder of the needed stages in each of them.
    """
    top = load_config(config_file, overrides)
    files = [Path(config_file).parent / name for name in top.RECIPE.NEEDS]
    network = _network_file(top, config_file)
    stages = [_with_network(_merge([file], overrides), file, overrides, network) for file in files]
    needs_dir = Path(top.RECIPE.NEEDS_DIR or top.OUTPUT_DIR)
    for file, cfg in zip(files, stages):
        cfg.DATASETS = top.DATASETS.clone()
        cfg.WORLD = top.WORLD.clone()
        cfg.SEED = top.SEED
        cfg.MODEL.DEVICE = top.MODEL.DEVICE
        cfg.OUTPUT_DIR = str(needs_dir)
        if not _merge([file], ()).INSTANCE.GROUPS:
            cfg.INSTANCE.GROUPS = []
    if top.RECIPE.STAGE:
        stages.append(top.clone())
    groups = {cfg.RECIPE.STAGE: cfg.INSTANCE.GROUPS for cfg in stages if trains_groups(cfg)}
    for cfg in stages:
        cfg.RECIPE.NEEDS_DIR = str(needs_dir)
        if cfg.RECIPE.INIT_FROM:
            cfg.MODEL.WEIGHTS = str(needs_dir / _first_weights(cfg, groups))
        cfg.OUTPUT_DIR = os.path.join(cfg.OUTPUT_DIR, cfg.RECIPE.STAGE)
    stages += later_rounds(top, stages)
    for cfg in stages:
        cfg.freeze()
    return stages


def _first_weights(cfg: CfgNode, groups: dict[str, list[list[str]]]) -> Path:
    """Where the weights that a stage starts from will be, below the folder of the stages.

    Args:
        cfg: config of the stage.
        groups: groups of the stages that have them.

    Raises:
        RecipeError: that stage has groups, but this one has none, or others than those.
    """
    start = cfg.RECIPE.INIT_FROM
    if start not in groups:
        return Path(start, "model_final.pth")
    own = cfg.INSTANCE.GROUPS if trains_groups(cfg) else []
    if not own or any(group not in groups[start] for group in own):
        raise RecipeError(
            f"stage {cfg.RECIPE.STAGE} starts from {start} (RECIPE.INIT_FROM), which has one run for each of "
            f"{groups[start]}, but its own INSTANCE.GROUPS are {own}; choose them among those"
        )
    return Path(start, GROUP_FOLDER, "model_final.pth")


def trains_groups(cfg: CfgNode) -> bool:
    """Whether a stage is one run per group of classes, each in a sub-folder: self-training always, as in ALL."""
    stage = cfg.RECIPE.STAGE
    return stage == "instance_selftrain" or (
        stage in ("instance_source", "instance_adapted") and len(cfg.INSTANCE.GROUPS) > 0
    )


def _merge(files: Sequence[str | os.PathLike[str]], overrides: Sequence[str]) -> CfgNode:
    """The defaults with config files and overrides merged over them, in that order."""
    cfg = get_ptseg_cfg()
    for file in files:
        if not os.path.isfile(file):
            raise FileNotFoundError(f"config file {file} not found; see the folder configs/")
        try:
            cfg.merge_from_file(str(file))
        except (KeyError, AssertionError, ValueError, yaml.YAMLError) as error:
            raise RecipeError(f"{file}: {error}") from error
    misplaced = [word for word in overrides[::2] if word.startswith("--")]
    if misplaced:
        raise RecipeError(f"{misplaced[0]} stands among the KEY VALUE pairs: put options before the first of them")
    try:
        cfg.merge_from_list(list(overrides))
    except (KeyError, AssertionError, ValueError) as error:
        raise RecipeError(f"{files[0]} {' '.join(overrides)}: {error}") from error
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
    if network is None or not cfg.RECIPE.STAGE.startswith("semantic"):
        return cfg
    return _merge([config_file, network], overrides)
