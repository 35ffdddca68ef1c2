"""What the documents name exists: files, registered data sets, config keys."""

from __future__ import annotations

import re
from pathlib import Path

from ptseg_d2.config import get_ptseg_cfg

import pytest
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *ROOT.glob("[A-Z]*.md"), *ROOT.glob("datasets/*.md"), *ROOT.glob("docs/*.md")]
FOLDERS = "configs|tools|datasets|tests|benchmarks|docs|ptseg_d2"
NODES = "MODEL|SOLVER|INPUT|DATASETS|INSTANCE|RECIPE|DATALOADER|EVAL|TEST|WORLD"


@pytest.mark.parametrize("document", sorted(set(DOCUMENTS)), ids=lambda path: str(path.relative_to(ROOT)))
def test_named_files_exist(document: Path) -> None:
    names = set(re.findall(rf"\b(?:{FOLDERS})/[\w./-]+\.(?:yaml|py|md|png|txt)", document.read_text()))
    assert [name for name in sorted(names) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("document", sorted(set(DOCUMENTS)), ids=lambda path: str(path.relative_to(ROOT)))
def test_named_data_sets_and_keys_exist(document: Path) -> None:
    text = document.read_text()
    data_sets = set(re.findall(r"\b\w+_(?:un)?labeled_(?:train|val)\b", text))
    assert data_sets <= set(DatasetCatalog.list())
    for key in set(re.findall(rf"\b(?:{NODES})(?:\.[A-Z_]+)+\b", text)):
        node: CfgNode = get_ptseg_cfg()
        for part in key.split("."):
            assert part in node, f"{document.name} names the unknown key {key}"
            node = node[part]
