"""What a finished run leaves beside its weights: `done.json` with its settings and what it was built on.

A run whose `done.json` names the same settings is not run again; one with other settings is refused, never mixed.
"""

from __future__ import annotations

import json
import logging
import os
import time
import uuid
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from ptseg_d2.config import flatten, get_ptseg_cfg
from ptseg_d2.config.renamed import current_keys
from ptseg_d2.config.rules import decides_mix, is_setting_of_a_stage
from ptseg_d2.errors import RecipeError
from ptseg_d2.runs.lock import only_here

from detectron2.config import CfgNode
from detectron2.utils import comm

logger = logging.getLogger(__name__)

PREDICTED_GUIDANCE = "target_guidance"
"""Folder of the instance masks that guide a semantic stage, below the instance stage that predicted them."""
ORACLE_GUIDANCE = "oracle_guidance"
"""The same, below OUTPUT_DIR, of masks from labels."""


def run_once(cfg: CfgNode, work: Callable[[CfgNode], dict[str, Any] | None]) -> None:
    """Run a stage unless its `done.json` says that it is finished with the same settings.

    Args:
        cfg: config of the stage, with its own OUTPUT_DIR.
        work: does the stage; what it returns is kept in `done.json`.

    Raises:
        RecipeError: the stage was finished with other settings, or on stages that were made again since, or another
            command is at it.
    """
    folder = Path(cfg.OUTPUT_DIR)
    name = folder.name if folder.name.startswith(cfg.RECIPE.STAGE) else f"{folder.parent.name}, group {folder.name},"
    if not is_finished(cfg):
        os.makedirs(cfg.OUTPUT_DIR, exist_ok=True)
        with only_here(cfg.OUTPUT_DIR) if comm.is_main_process() else nullcontext():
            comm.synchronize()
            if not is_finished(cfg):  # another command may have finished it a moment ago
                logger.info("Stage %s begins, in %s", name, cfg.OUTPUT_DIR)
                _run(cfg, work)
                return
    logger.info("%s is finished, see %s", name, cfg.OUTPUT_DIR)


def _run(cfg: CfgNode, work: Callable[[CfgNode], dict[str, Any] | None]) -> None:
    upstream = built_on(cfg)
    start = time.perf_counter()
    facts = work(cfg) or {}
    comm.synchronize()
    if comm.is_main_process():
        seconds = time.perf_counter() - start
        identity = {"id": uuid.uuid4().hex, "built_on": upstream, "settings": settings(cfg)}
        facts = {**facts, "seconds": seconds, **identity}
        write_atomically(Path(cfg.OUTPUT_DIR) / "done.json", json.dumps(facts, indent=1))
    comm.synchronize()


def is_finished(cfg: CfgNode) -> bool:
    """Whether the `done.json` of a run says that it is finished with the same settings.

    Raises:
        RecipeError: it was finished with other settings, or on stages that were made again since.
    """
    done = Path(cfg.OUTPUT_DIR) / "done.json"
    if not done.exists():
        return False
    check_record(cfg, done)
    return True


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
    flat = {key: value for key, value in flatten(cfg).items() if is_setting_of_a_stage(key)}
    if cfg.RECIPE.STAGE != "instance_mix":
        flat = {key: value for key, value in flat.items() if not decides_mix(key)}
    if Path(flat["INPUT.GUIDANCE_MASKS"]).parent.name != ORACLE_GUIDANCE:
        flat = {key: value for key, value in flat.items() if not key.startswith("RECIPE.ORACLE_GUIDANCE")}
    for key in ("MODEL.WEIGHTS", "INPUT.PREDICTED_MASKS", "INPUT.GUIDANCE_MASKS", "INPUT.DETECTIONS"):
        if flat[key]:
            flat[key] = "/".join(Path(flat[key]).parts[-2:])
    return flat


def built_on(cfg: CfgNode) -> dict[str, str]:
    """The finished runs whose weights or masks a stage starts from: name -> identity of that run.

    A name is a folder below RECIPE.NEEDS_DIR, "semantic_source" or "instance_source/car+bus"; other folders go by
    their last part, and the networks that a mix chooses from by their whole path.
    """
    folders = []
    if cfg.MODEL.WEIGHTS:
        folders.append(Path(cfg.MODEL.WEIGHTS).parent)
    folders += [Path(file).parent.parent for file in (cfg.INPUT.PREDICTED_MASKS, cfg.INPUT.DETECTIONS) if file]
    guidance = Path(cfg.INPUT.GUIDANCE_MASKS)
    if guidance.parent.name == PREDICTED_GUIDANCE:
        folders += [done.parent for done in runs_below(str(guidance.parent.parent))]
    needs_dir = Path(cfg.RECIPE.NEEDS_DIR)
    names = {
        folder: folder.relative_to(needs_dir).as_posix() if needs_dir in folder.parents else folder.name
        for folder in folders
    }
    if cfg.RECIPE.STAGE == "instance_mix":
        names.update({done.parent: str(done.parent) for run in cfg.INSTANCE.MIX_FROM for done in runs_below(run)})
    return {name: read_done(folder).get("id", "") for folder, name in names.items() if (folder / "done.json").exists()}


def runs_below(folder: str) -> list[Path]:
    """`done.json` of every finished group of a stage."""
    return sorted(Path(folder).glob("*/done.json"))


def changed_settings(
    cfg: CfgNode, record: Path, is_compared: Callable[[str], bool] = is_setting_of_a_stage
) -> list[str]:
    """Keys in which a stage's config differs from the "settings" in one of its JSON files, "KEY was 1, is 2".

    Args:
        cfg: config of the stage.
        record: `done.json` or `started.json`.
        is_compared: says of a key whether it counts.
    """
    # A record of an older version lacks keys that came since: what it did then is their default now.
    then = current_keys(json.loads(record.read_text(encoding="utf-8"))["settings"])
    old = {**settings(get_ptseg_cfg()), **then}
    new = settings(cfg)
    changed = [key for key in sorted({*old, *new}) if is_compared(key) and old.get(key) != new.get(key)]
    return [f"{key} was {old.get(key)}, is {new.get(key)}" for key in changed]


def check_same_settings(cfg: CfgNode, record: Path, is_compared: Callable[[str], bool] = is_setting_of_a_stage) -> None:
    """Raise a RecipeError that names what `changed_settings` finds, if it finds anything."""
    changed = changed_settings(cfg, record, is_compared)
    if changed:
        raise RecipeError(
            f"{record.parent} was made with other settings ({'; '.join(changed[:4])}). "
            "Choose another OUTPUT_DIR, or delete that folder to make it again."
        )


def check_record(cfg: CfgNode, record: Path) -> None:
    """Compare a run's config, and the finished runs that it starts from, with one of its JSON files.

    Args:
        cfg: config of the run.
        record: `done.json` or `started.json`; one without "built_on", of an older version, is compared in settings.

    Raises:
        RecipeError: they differ; names the keys, or the stage that was made again since.
    """
    check_same_settings(cfg, record)
    upstream = built_on(cfg)
    then = json.loads(record.read_text(encoding="utf-8")).get("built_on", upstream)
    stale = [stage for stage in upstream if then.get(stage) != upstream[stage]]
    if stale:
        raise RecipeError(
            f"{record.parent} was built on an earlier run of {stale[0]}, which was made again since. "
            f"Delete {record.parent} to make it again as well."
        )
