"""A config as one flat dict."""

from __future__ import annotations

from typing import Any

import yaml
from detectron2.config import CfgNode


def flatten(cfg: CfgNode) -> dict[str, Any]:
    """Dotted name -> value, as YAML has it (lists for tuples), in the order of the config."""
    return _flat(yaml.safe_load(cfg.dump()), "")


def _flat(node: dict[str, Any], prefix: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in node.items():
        flat.update(_flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value})
    return flat
