"""The recipe of a finished run from what the run left in its folder."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from ptseg_d2.atomic import write_atomically
from ptseg_d2.config import flatten
from ptseg_d2.config.renamed import current_keys
from ptseg_d2.recipe.configs import load_config, load_recipe
from ptseg_d2.recipe.overrides import over
from ptseg_d2.runs.done import RESULTS
from ptseg_d2.stages import StageRun

import yaml
from detectron2.config import CfgNode

COMMAND = "command.json"
"""Below OUTPUT_DIR: the config file and the overrides of the last command that found or made all stages there."""

CONFIG = "config.yaml"
"""Below OUTPUT_DIR: the whole config, as Detectron2's `default_setup` writes it."""


def note_command(output_dir: str | os.PathLike[str], config_file: str, overrides: Sequence[str]) -> None:
    """Keep what a command asks for, so that the run can be loaded from its folder alone.

    Args:
        output_dir: exists.
        config_file: of the recipe.
        overrides: alternating keys and values.
    """
    content = {"config": config_file, "overrides": list(overrides)}
    write_atomically(Path(output_dir) / COMMAND, json.dumps(content, indent=1))


def load_run(
    run_folder: str | os.PathLike[str],
    config_file: str | os.PathLike[str] | None = None,
    overrides: Sequence[str] = (),
) -> tuple[CfgNode, list[StageRun]]:
    """Config and stages of a run, as `load_config` and `load_recipe` gave them when it was trained.

    Args:
        run_folder: OUTPUT_DIR of the run; it may have been moved.
        config_file: None = the one that the run was started with.
        overrides: alternating keys and values, over those of the command that trained it.

    Raises:
        FileNotFoundError: the folder, the record of its command or the config file is not there.
    """
    folder = Path(run_folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"run folder {folder} not found: give the OUTPUT_DIR of tools/train_net.py")
    file = Path(config_file) if config_file is not None else _config_of(folder)
    overrides = over(command_line_of(folder, file), [*overrides, "OUTPUT_DIR", str(folder)])
    return load_config(file, overrides), load_recipe(file, overrides)


def command_line_of(run_folder: Path, config_file: Path) -> list[str]:
    """Overrides that a run was started with.

    Args:
        run_folder: without a record of its command, they are found where its config.yaml differs from its config file,
            as far as overrides had no aims when it was made; without both nothing is known.
        config_file: of the run; of another one's file nothing is known either.

    Returns:
        alternating keys and values.
    """
    record = run_folder / COMMAND
    if not record.is_file():
        return _differences(run_folder / CONFIG, config_file)
    command = json.loads(record.read_text(encoding="utf-8"))
    if not _is_same_file(Path(command["config"]), config_file):
        return []
    return list(command["overrides"])


def _is_same_file(one: Path, other: Path) -> bool:
    """Whether both are one file, or, where the run was made elsewhere, have one name."""
    return one.resolve() == other.resolve() if one.exists() else one.name == other.name


def _differences(written: Path, config_file: Path) -> list[str]:
    """Keys and values in which the config of a run differs from a config file; none if it is of another recipe."""
    if not written.is_file():
        return []
    now = flatten(load_config(config_file))
    then = current_keys(flatten(CfgNode(yaml.safe_load(written.read_text(encoding="utf-8")))))
    if any(now[key] != then.get(key) for key in ("RECIPE.STAGE", "RECIPE.NEEDS")):
        return []
    changed = [key for key in now if key in then and then[key] != now[key] and key != "OUTPUT_DIR"]
    return [word for key in changed for word in (key, repr(then[key]))]


def _config_of(run_folder: Path) -> Path:
    records = [run_folder / COMMAND, run_folder / RESULTS]  # the second is all that older versions wrote
    record = next((record for record in records if record.is_file()), None)
    if record is None:
        raise FileNotFoundError(
            f"{records[0]} not found: no run has ended in this folder, or give its config by --config-file"
        )
    config_file = Path(json.loads(record.read_text(encoding="utf-8"))["config"])
    if not config_file.is_file():
        raise FileNotFoundError(
            f"config file {config_file}, which {record} names, not found (relative to {os.getcwd()}); "
            "give it by --config-file"
        )
    return config_file
