"""A config as one flat dict."""

from __future__ import annotations

import json

from ptseg_d2.config import flatten, get_ptseg_cfg

from detectron2.config import CfgNode


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
