"""What the documents name exists: files, headings, registered data sets, config keys."""

from __future__ import annotations

import re
from pathlib import Path

from ptseg_d2.config import get_ptseg_cfg
from ptseg_d2.config.renamed import HINTS, RENAMED

import pytest
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from documents import DOCUMENTS, FENCED, ROOT

FOLDERS = "configs|tools|datasets|tests|benchmarks|docs|ptseg_d2"
NODES = "MODEL|SOLVER|INPUT|DATASETS|INSTANCE|RECIPE|DATALOADER|TEST|EVAL|WORLD"

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())


def test_all_documents_are_looked_at() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in DOCUMENTS}
    assert {"README.md", "MODEL_ZOO.md", "CHANGELOG.md", "datasets/README.md", "docs/architecture.md"} <= names


@each_document
def test_named_files_exist(document: Path) -> None:
    names = set(re.findall(rf"\b(?:{FOLDERS})/[\w./-]+\.(?:yaml|py|md|png|svg|txt)", document.read_text()))
    assert [name for name in sorted(names) if not (ROOT / name).exists() and name not in written_by(document)] == []


def written_by(document: Path) -> set[str]:
    """Files that a tutorial tells its reader to write."""
    return set(re.findall(r'^```\w+ title="([^"]+)"', document.read_text(), re.MULTILINE))


@each_document
def test_links_lead_somewhere(document: Path) -> None:
    text = FENCED.sub("", document.read_text())
    for target, anchor in re.findall(r"\]\((?!\w+:)([^)\s#]*)#?([^)\s]*)\)", text):
        goal = (document.parent / target).resolve() if target else document
        assert goal.exists(), target
        assert not anchor or anchor in headings(goal), f"{target}#{anchor}"


def headings(document: Path) -> set[str]:
    """The anchors of a document's headings."""
    found = re.findall(r"^#+ (.+)$", FENCED.sub("", document.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in found}


@each_document
def test_named_data_sets_and_keys_exist(document: Path) -> None:
    text = document.read_text()
    data_sets = set(re.findall(r"\b\w+_(?:un)?labeled_(?:train|val|test)\b", text))
    declared_here = set(re.findall(r'add_dataset\("(\w+)"', text))
    assert data_sets - declared_here <= set(DatasetCatalog.list())
    gone = {*RENAMED, *HINTS} if document.name == "CHANGELOG.md" else set()
    for key in set(re.findall(rf"\b(?:{NODES})(?:\.[A-Z][A-Z_0-9]*)+\b", text)) - gone:
        node: CfgNode = get_ptseg_cfg()
        for part in key.split("."):
            assert part in node, f"{document.name} names the unknown key {key}"
            node = node[part]


def test_the_readme_is_read_in_a_minute() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 120
    assert len(re.findall(r"^\|(?:---\|)+$", text, re.MULTILINE)) == 2  # results, and where to read on
