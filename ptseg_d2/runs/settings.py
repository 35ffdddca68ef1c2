"""What decides what a stage computes, as it is kept in the records of a run, and how two of them differ."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ptseg_d2.config import flatten, get_ptseg_cfg
from ptseg_d2.config.renamed import REMOVED, current_keys, ignored_keys
from ptseg_d2.config.rules import decides_mix, is_setting_of_a_stage
from ptseg_d2.errors import RecipeError
from ptseg_d2.runs.image_folders import reads_labels
from ptseg_d2.stages import StageInputs, StageRun
from ptseg_d2.stages.table import Work

from detectron2.config import CfgNode

GROUP, GROUPS = "inputs.group", "INSTANCE.GROUPS"

INPUTS_BEFORE = {
    "INPUT.PREDICTED_MASKS": "inputs.masks",
    "INPUT.GUIDANCE_MASKS": "inputs.guidance",
    "INPUT.DETECTIONS": "inputs.detections",
    "INSTANCE.GROUP": GROUP,
    "RECIPE.ROUND": "inputs.round",
}
"""Keys of older records -> the inputs that they were."""


def settings(run: StageRun) -> dict[str, Any]:
    """What decides what a run computes, flat: "SOLVER.MAX_ITER" -> value, and its inputs, "inputs.group" -> []."""
    flat = _settings_of_config(run.cfg)
    inputs = run.inputs
    if run.stage.work is not Work.CHOOSE:
        flat = {key: value for key, value in flat.items() if not decides_mix(key)}
    if not reads_labels(inputs.guidance):
        flat = {key: value for key, value in flat.items() if not key.startswith("RECIPE.ORACLE_GUIDANCE")}
    for key in ("INPUT.PREDICTED_MASKS", "INPUT.DETECTIONS"):  # they are among the inputs
        flat.pop(key)
    for key in ignored_keys(run.cfg):
        flat.pop(key)
    flat["MODEL.WEIGHTS"] = _place(run.cfg.MODEL.WEIGHTS)
    return {**flat, **_settings_of_inputs(inputs)}


def _settings_of_config(cfg: CfgNode) -> dict[str, Any]:
    return {key: value for key, value in flatten(cfg).items() if is_setting_of_a_stage(key)}


def _settings_of_inputs(inputs: StageInputs) -> dict[str, Any]:
    files = {"masks": inputs.masks, "guidance": inputs.guidance, "detections": inputs.detections}
    places = {f"inputs.{name}": _place(file) for name, file in files.items()}
    return {**places, GROUP: list(inputs.group), "inputs.round": inputs.round}


def _place(file: str) -> str:
    """The last two parts of a path: a run may be moved as a whole."""
    return "/".join(Path(file).parts[-2:]) if file else ""


def read_settings(record: Path) -> dict[str, Any]:
    """The settings in a JSON file of a run, with the names of today.

    Args:
        record: `done.json` or `started.json` of any version.
    """
    recorded = json.loads(record.read_text(encoding="utf-8"))["settings"]
    return {INPUTS_BEFORE.get(key, key): value for key, value in current_keys(recorded).items()}


def every_key(key: str) -> bool:
    """Compare everything that `settings` holds."""
    return True


def changed_settings(run: StageRun, record: Path, is_compared: Callable[[str], bool] = every_key) -> list[str]:
    """Keys in which a run differs from the "settings" in one of its JSON files, "KEY was 1, is 2".

    Args:
        run: as it is asked for now.
        record: `done.json` or `started.json`.
        is_compared: says of a key whether it counts.
    """
    # A record of an older version lacks keys and inputs that came since: what it did then is their default now. And it
    # has keys that are gone: those that `read_settings` leaves had another value than the one with which the code goes
    # on; of any other it is not known that they matter.
    defaults = {**_settings_of_config(get_ptseg_cfg()), **_settings_of_inputs(StageInputs())}
    old = {**defaults, **read_settings(record)}
    new = {**settings(run), **{key: value for key, value in REMOVED.items() if key in old}}
    changed = [key for key in sorted(new) if is_compared(key) and old.get(key) != new[key]]
    return [f"{key} was {old.get(key)}, is {new[key]}" for key in changed]


def check_same_settings(run: StageRun, record: Path, is_compared: Callable[[str], bool] = every_key) -> None:
    """Raise a RecipeError that names what `changed_settings` finds, if it finds anything."""
    changed = changed_settings(run, record, is_compared)
    if changed:
        raise RecipeError(
            f"{record.parent} was made with other settings ({'; '.join(changed[:4])}). "
            "Choose another OUTPUT_DIR, or delete that folder to make it again."
        )
