"""Config files and overrides merged over the defaults."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ptseg_d2.config import get_ptseg_cfg
from ptseg_d2.errors import RecipeError

import yaml
from detectron2.config import CfgNode

ERRORS = (KeyError, AssertionError, ValueError, yaml.YAMLError)
"""What yacs raises for keys and values that do not fit."""


def merged_config(files: Sequence[str | os.PathLike[str]], overrides: Sequence[str] = ()) -> CfgNode:
    """The defaults with config files and overrides merged over them, in that order.

    Args:
        files: YAML with `_BASE_` as in Detectron2.
        overrides: alternating keys and values.

    Raises:
        FileNotFoundError: a file does not exist.
        RecipeError: a key is unknown, or a value of another kind.
    """
    cfg = get_ptseg_cfg()
    for file in files:
        if not os.path.isfile(file):
            raise FileNotFoundError(f"config file {file} not found; see the folder configs/")
        try:
            cfg.merge_from_file(str(file))
        except ERRORS as error:
            raise RecipeError(f"{file}: {error}") from error
    merge_overrides(cfg, overrides, str(files[0]))
    return cfg


def merge_overrides(cfg: CfgNode, overrides: Sequence[str], name: str) -> None:
    """Merge alternating keys and values into a config, in place; a RecipeError names what does not fit.

    Args:
        cfg: not frozen.
        overrides: alternating keys and values.
        name: of the config, for the message.
    """
    try:
        cfg.merge_from_list(list(overrides))
    except ERRORS as error:
        raise RecipeError(f"{name} {' '.join(overrides)}: {error}") from error
