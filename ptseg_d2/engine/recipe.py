"""Recipes: a config names the stages it needs; what is finished is skipped, what is missing is run.

`OUTPUT_DIR/<stage>/` holds a stage's checkpoints, logs and, once it is finished, `done.json`.
"""

from __future__ import annotations

import json
import logging
import os
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ptseg_d2.config import get_ptseg_cfg

import yaml
from detectron2.config import CfgNode
from detectron2.utils import comm

logger = logging.getLogger(__name__)

STAGES = (
    "semantic_source",
    "semantic_styled",
    "semantic_adapted",
    "semantic_selftrain",
    "instance_source",
    "instance_adapted",
    "instance_selftrain",
)
"""Every stage a recipe can have, in the order in which results are reported."""

NOT_PART_OF_A_STAGE = (
    "OUTPUT_DIR",
    "VERSION",
    "CUDNN_BENCHMARK",
    "MODEL.DEVICE",
    "DATALOADER.NUM_WORKERS",
    "DATALOADER.CACHE_MB",
    "DATASETS.TEST",
    "SOLVER.CHECKPOINT_PERIOD",
    "RECIPE.NEEDS",
    "RECIPE.SEMANTIC_NETWORK",
    "RECIPE.NUM_PICTURES",
    "RECIPE.SUPERVISED_ROW",
)
"""Keys that may differ between two visits to a stage: they do not change what it learns."""


class RecipeError(RuntimeError):
    """A recipe cannot go on; the message says what the user can do."""


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
    return _with_network(cfg, config_file, overrides, _network_file(cfg, config_file))


def load_recipe(config_file: str | os.PathLike[str], overrides: Sequence[str] = ()) -> list[CfgNode]:
    """Configs of all stages of a recipe in the order in which they run, each with its own OUTPUT_DIR.

    The data sets, the seed, the device and the semantic network of the asked config hold for the stages it needs,
    and so do the command-line overrides.

    Args:
        config_file: the config the user asked for.
        overrides: alternating keys and values; reach every stage.

    Returns:
        Needed stages first; a config without RECIPE.STAGE only evaluates and is not among them.
    """
    top = load_config(config_file, overrides)
    files = [Path(config_file).parent / name for name in top.RECIPE.NEEDS]
    network = _network_file(top, config_file)
    stages = [_with_network(_merge([file], overrides), file, overrides, network) for file in files]
    for cfg in stages:
        cfg.DATASETS = top.DATASETS.clone()
        cfg.SEED = top.SEED
        cfg.MODEL.DEVICE = top.MODEL.DEVICE
        cfg.OUTPUT_DIR = top.OUTPUT_DIR
    if top.RECIPE.STAGE:
        stages.append(top.clone())
    for cfg in stages:
        root = Path(cfg.OUTPUT_DIR)
        if cfg.RECIPE.INIT_FROM:
            cfg.MODEL.WEIGHTS = str(root / cfg.RECIPE.INIT_FROM / "model_final.pth")
        cfg.OUTPUT_DIR = str(root / cfg.RECIPE.STAGE)
        cfg.freeze()
    return stages


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


def run_once(cfg: CfgNode, work: Callable[[CfgNode], dict[str, Any] | None]) -> None:
    """Run a stage unless its `done.json` says that it is finished with the same settings.

    Args:
        cfg: config of the stage, with its own OUTPUT_DIR.
        work: does the stage; what it returns is kept in `done.json`.

    Raises:
        RecipeError: the stage was finished with other settings, or on stages that were made again since.
    """
    done = Path(cfg.OUTPUT_DIR) / "done.json"
    name = Path(cfg.OUTPUT_DIR).name
    upstream = built_on(cfg)
    if done.exists():
        _check_done(cfg, done, upstream)
        logger.info("%s is finished, see %s", name, done.parent)
        return
    os.makedirs(cfg.OUTPUT_DIR, exist_ok=True)
    logger.info("Stage %s begins, in %s", name, cfg.OUTPUT_DIR)
    start = time.perf_counter()
    facts = work(cfg) or {}
    comm.synchronize()
    if comm.is_main_process():
        seconds = time.perf_counter() - start
        identity = {"id": uuid.uuid4().hex, "built_on": upstream, "settings": settings(cfg)}
        facts = {**facts, "seconds": seconds, **identity}
        write_atomically(done, json.dumps(facts, indent=1))
    comm.synchronize()


def read_done(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """`done.json` of a stage.

    Raises:
        RecipeError: the stage is not finished.
    """
    done = Path(folder) / "done.json"
    if not done.exists():
        raise RecipeError(f"{folder} is not finished: there is no {done}. Train first, without --eval-only.")
    content: dict[str, Any] = json.loads(done.read_text(encoding="utf-8"))
    return content


def write_atomically(path: Path, text: str) -> None:
    """Write a small text file so that a kill leaves the old one or the new one."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def settings(cfg: CfgNode) -> dict[str, Any]:
    """All keys that decide what a stage computes, flat: "SOLVER.MAX_ITER" -> value."""
    flat: dict[str, Any] = {}

    def walk(node: dict[str, Any], prefix: str) -> None:
        for key, value in node.items():
            if isinstance(value, dict):
                walk(value, f"{prefix}{key}.")
            elif f"{prefix}{key}" not in NOT_PART_OF_A_STAGE:
                flat[f"{prefix}{key}"] = value

    walk(yaml.safe_load(cfg.dump()), "")
    for key in ("MODEL.WEIGHTS", "INPUT.PREDICTED_MASKS"):
        if flat[key]:
            flat[key] = "/".join(Path(flat[key]).parts[-2:])
    return flat


def built_on(cfg: CfgNode) -> dict[str, str]:
    """The finished stages whose weights or masks a stage starts from: folder name -> identity of that run."""
    folders = []
    if cfg.MODEL.WEIGHTS:
        folders.append(Path(cfg.MODEL.WEIGHTS).parent)
    if cfg.INPUT.PREDICTED_MASKS:
        folders.append(Path(cfg.INPUT.PREDICTED_MASKS).parent.parent)
    return {folder.name: read_done(folder).get("id", "") for folder in folders if (folder / "done.json").exists()}


def check_same_settings(cfg: CfgNode, record: Path, prefixes: tuple[str, ...] = ("",)) -> None:
    """Compare a stage's config with the "settings" in one of its JSON files.

    Args:
        cfg: config of the stage.
        record: `done.json` or `started.json`.
        prefixes: only keys that begin with one of these are compared.

    Raises:
        RecipeError: names the differing keys with both values.
    """
    old = json.loads(record.read_text(encoding="utf-8"))["settings"]
    new = settings(cfg)
    changed = [key for key in sorted({*old, *new}) if key.startswith(prefixes) and old.get(key) != new.get(key)]
    if changed:
        shown = "; ".join(f"{key} was {old.get(key)}, is {new.get(key)}" for key in changed[:4])
        raise RecipeError(
            f"{record.parent} was made with other settings ({shown}). "
            "Choose another OUTPUT_DIR, or delete that folder to make it again."
        )


def _check_done(cfg: CfgNode, done: Path, upstream: dict[str, str]) -> None:
    check_same_settings(cfg, done)
    then = read_done(done.parent).get("built_on", upstream)
    stale = [stage for stage in upstream if then.get(stage) != upstream[stage]]
    if stale:
        raise RecipeError(
            f"{done.parent} was built on an earlier run of {stale[0]}, which was made again since. "
            f"Delete {done.parent} to make it again as well."
        )
