"""A config as one flat dict."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from detectron2.config import CfgNode


def flatten(cfg: CfgNode) -> dict[str, Any]:
    """Dotted name -> value, as its YAML would have it (lists for tuples), in the order of the alphabet as there."""
    return dict(_leaves(cfg, ""))


def _leaves(node: CfgNode, prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in sorted(node.items()):
        if isinstance(value, CfgNode):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _plain(value)


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
