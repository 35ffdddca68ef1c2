"""Config files and overrides merged over the defaults."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ptseg_d2.config import flatten, get_ptseg_cfg
from ptseg_d2.config.renamed import check_ignored_keys
from ptseg_d2.errors import RecipeError

import yaml
from detectron2.config import CfgNode

ERRORS = (KeyError, AssertionError, ValueError, yaml.YAMLError)
"""What yacs raises for keys and values that do not fit."""


def merged_config(files: Sequence[str | os.PathLike[str]], overrides: Sequence[str] = ()) -> CfgNode:
    """The defaults with config files and overrides merged over them, in that order.

    Args:
        files: YAML with `_BASE_` as in Detectron2.
        overrides: alternating keys and values, which may hold for other configs too.

    Raises:
        FileNotFoundError: a file does not exist.
        RecipeError: a key is unknown, or a value of another kind; or a file sets what its model does not read.
    """
    cfg = get_ptseg_cfg()
    defaults = flatten(cfg)
    for file in files:
        if not os.path.isfile(file):
            raise FileNotFoundError(f"config file {file} not found; see the folder configs/")
        try:
            cfg.merge_from_file(str(file))
        except ERRORS as error:
            raise RecipeError(f"{file}: {error}") from error
    changed = {key for key, value in flatten(cfg).items() if value != defaults.get(key)}
    check_ignored_keys(cfg, changed, str(files[0]))
    _merge_list(cfg, overrides, str(files[0]))
    return cfg


def merge_overrides(cfg: CfgNode, overrides: Sequence[str], name: str) -> None:
    """Merge keys and values that are meant for one config alone, in place; a RecipeError names what does not fit.

    Args:
        cfg: not frozen.
        overrides: alternating keys and values.
        name: of the config, for the message.
    """
    _merge_list(cfg, overrides, name)
    check_ignored_keys(cfg, overrides[::2], f"{name} {' '.join(overrides)}")


def _merge_list(cfg: CfgNode, overrides: Sequence[str], name: str) -> None:
    try:
        cfg.merge_from_list(list(overrides))
    except ERRORS as error:
        raise RecipeError(f"{name} {' '.join(overrides)}: {error}") from error
