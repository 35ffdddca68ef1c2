"""The config keys that ptseg_d2 adds to those of Detectron2 and its projects."""

from __future__ import annotations

from typing import Any

from ptseg_d2.config import add_project_configs, flatten, get_ptseg_cfg

from detectron2.config import get_cfg


def own_keys() -> dict[str, Any]:
    """Dotted name -> default."""
    theirs = get_cfg()
    add_project_configs(theirs)
    not_ours = flatten(theirs)
    return {key: value for key, value in flatten(get_ptseg_cfg()).items() if key not in not_ours}
