"""No key without a use: each is set in a shipped config, or a document tells what to do with it, and code reads it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from own_keys import own_keys

ROOT = Path(__file__).parents[2]
DOCUMENTS = [path for folder in ("", "docs", "datasets") for path in sorted((ROOT / folder).glob("*.md"))]
NO_USE = ("configuration.md", "CHANGELOG.md")
"""Documents that name keys without saying what for."""


def keys_of(node: dict[str, Any], prefix: str = "") -> set[str]:
    keys: set[str] = set()
    for key, value in node.items():
        keys |= keys_of(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}"}
    return keys


def test_every_key_is_set_in_a_config_or_named_in_a_document() -> None:
    configs = {key for path in (ROOT / "configs").rglob("*.yaml") for key in keys_of(yaml.safe_load(path.read_text()))}
    text = "\n".join(path.read_text() for path in DOCUMENTS if path.name not in NO_USE)
    documents = set(re.findall(r"\b[A-Z]+(?:\.[A-Z0-9_]+)+\b", text))
    without = [key for key in own_keys() if key not in {*configs, *documents}]
    assert without == [], "use them in a config or a document, or take them away"


def test_every_key_is_read() -> None:
    files = [path for folder in ("ptseg_d2", "tools") for path in (ROOT / folder).rglob("*.py")]
    source = "\n".join(path.read_text() for path in files if path.parent.name != "config")
    names = set(re.findall(r"(?:\.|\")([A-Z][A-Z0-9_]*)\b", source))
    assert [key for key in own_keys() if key.rpartition(".")[2] not in names] == []
