"""A config as one flat dict."""

from __future__ import annotations

import json
from typing import Any

from ptseg_d2.config import flatten, get_ptseg_cfg
from ptseg_d2.recipe.configs import load_config

import pytest
import yaml
from detectron2.config import CfgNode
from tiny import CONFIGS


def test_values_are_as_yaml_has_them() -> None:
    cfg = CfgNode({"A": CfgNode({"B": (1, 2.5), "C": CfgNode({"D": [["x"], []], "E": CfgNode()})}), "F": ""})
    assert flatten(cfg) == {"A.B": [1, 2.5], "A.C.D": [["x"], []], "F": ""}


def test_nothing_is_lost() -> None:
    cfg = get_ptseg_cfg()
    flat = flatten(cfg)
    assert json.loads(json.dumps(flat)) == flat
    again = get_ptseg_cfg()
    again.merge_from_list([part for key, value in flat.items() for part in (key, value)])
    assert flatten(again) == flat


def by_yaml(node: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in node.items():
        flat.update(by_yaml(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value})
    return flat


@pytest.mark.parametrize("name", ["selftrain_icm.yaml", "minileaves.yaml", "instance/mix.yaml", "einet_selftrain.yaml"])
def test_as_written_and_read(name: str) -> None:
    cfg = load_config(CONFIGS / name)
    slow = by_yaml(yaml.safe_load(cfg.dump()))
    assert flatten(cfg) == slow and list(flatten(cfg)) == list(slow)
