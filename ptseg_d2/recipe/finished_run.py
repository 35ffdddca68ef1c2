"""The recipe of a finished run from what the run left in its folder."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from ptseg_d2.config import flatten
from ptseg_d2.config.renamed import current_keys
from ptseg_d2.recipe.configs import load_config, load_recipe

import yaml
from detectron2.config import CfgNode


def load_run(
    run_folder: str | os.PathLike[str],
    config_file: str | os.PathLike[str] | None = None,
    overrides: Sequence[str] = (),
) -> tuple[CfgNode, list[CfgNode]]:
    """Config and stages of a run, as `load_config` and `load_recipe` gave them when it was trained.

    Args:
        run_folder: OUTPUT_DIR of the run; it may have been moved.
        config_file: None = the one that results.json names.
        overrides: alternating keys and values, over those of the command that trained it.

    Raises:
        FileNotFoundError: the folder, its results.json or the config file is not there.
    """
    folder = Path(run_folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"run folder {folder} not found: give the OUTPUT_DIR of tools/train_net.py")
    file = Path(config_file) if config_file is not None else _config_of(folder)
    overrides = [*command_line_of(folder, file), *overrides, "OUTPUT_DIR", str(folder)]
    return load_config(file, overrides), load_recipe(file, overrides)


def command_line_of(run_folder: Path, config_file: Path) -> list[str]:
    """Overrides that a run was started with: where its config.yaml differs from its config file.

    Args:
        run_folder: holds config.yaml, which Detectron2 writes at the start of a run; without it nothing is known.
        config_file: of the run; of another one's file nothing is known either.

    Returns:
        alternating keys and values.
    """
    written = run_folder / "config.yaml"
    if not written.is_file():
        return []
    now = flatten(load_config(config_file))
    then = current_keys(flatten(CfgNode(yaml.safe_load(written.read_text(encoding="utf-8")))))
    if any(now[key] != then.get(key) for key in ("RECIPE.STAGE", "RECIPE.NEEDS")):
        return []
    changed = [key for key in now if key in then and then[key] != now[key] and key != "OUTPUT_DIR"]
    return [text for key in changed for text in (key, repr(then[key]))]


def _config_of(run_folder: Path) -> Path:
    results = run_folder / "results.json"
    if not results.is_file():
        raise FileNotFoundError(f"{results} not found: the run is not finished, or give its config by --config-file")
    config_file = Path(json.loads(results.read_text(encoding="utf-8"))["config"])
    if not config_file.is_file():
        raise FileNotFoundError(
            f"config file {config_file}, which {results} names, not found (relative to {os.getcwd()}); "
            "give it by --config-file"
        )
    return config_file
