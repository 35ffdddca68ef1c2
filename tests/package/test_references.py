"""Every citation in code, configs and documents resolves in docs/references.md, and nothing is cited in another way."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny import CONFIGS

ROOT = CONFIGS.parent
REFERENCES = (ROOT / "docs" / "references.md").read_text(encoding="utf-8")
WORKS = set(re.findall(r"^### \[(.+?)\]$", REFERENCES, re.M))
TOPICS = set(re.findall(r'^#### \[(.+?)\], "(.+?)"$', REFERENCES, re.M))

CITATION = re.compile(r"(?<![\w`\])])\[([A-Za-z][A-Za-z0-9*+-]{2,})\](?!\(|\[|:)(?:, \"([^\"]+)\")?")
"""`[SAC]`, `[SAC], "parameter groups"`; no Markdown link, no index."""
OTHERWISE = re.compile(
    r"\bpapers? [1-9]\b|algorithms\.md|\b(?:Araslanov|Tranheden|Hoyer|Brabandere|Soatto|Wolny|Kirillov|Porzi)\b"
    r"|\bthe thesis\b|(?<!\[)\bthesis,? (?:section|table|figure|Eq)"
    r"|\bet al\b|\((?-i:[A-Z])[\w-]+(?:,? (?:and|&) [\w-]+)?,? (?:19|20)\d\d[a-z]?\)",
    re.I,
)
"""Numbers and authors that a reader cannot look up."""
CODE = [
    path
    for folder in ("ptseg_d2", "tools", "benchmarks", "datasets", "configs")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in (".py", ".yaml")
]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("datasets/*.md")])


def prose(path: Path) -> str:
    """Comments and docstrings of a module, comments of a config, a document without its code."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".yaml":
        return joined(line.partition("#")[2].strip() for line in text.splitlines() if "#" in line)
    if path.suffix == ".md":
        return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.S)
    return joined([*comments(text), *docstrings(text)])


def joined(lines: Iterator[str] | list[str]) -> str:
    """With what a line break parts put together, and no quotation marks of code."""
    return re.sub(r"\s+", " ", " ".join(lines))


def comments(text: str) -> Iterator[str]:
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.string.lstrip("# ")


def docstrings(text: str) -> Iterator[str]:
    """String statements: docstrings, and what stands below a constant."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield re.sub(r"`[^`\n]*`", "", node.value.value)


@pytest.mark.parametrize("path", [*CODE, *DOCUMENTS], ids=lambda path: str(path.relative_to(ROOT)))
def test_citations_resolve(path: Path) -> None:
    if path.name == "references.md":
        return
    unknown = []
    for name, topic in CITATION.findall(prose(path)):
        if name not in WORKS or (topic and (name, topic) not in TOPICS):
            unknown.append(f'[{name}], "{topic}"' if topic else f"[{name}]")
    assert unknown == [], "add it to docs/references.md, or cite it by the name that it has there"


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_cited_in_another_way(path: Path) -> None:
    assert OTHERWISE.findall(prose(path)) == []


def test_every_work_is_cited() -> None:
    text = " ".join(prose(path) for path in [*CODE, *DOCUMENTS] if path.name != "references.md")
    assert sorted(work for work in WORKS if f"[{work}]" not in text) == []


def test_topics_belong_to_works_and_every_entry_has_bibtex() -> None:
    assert {work for work, _ in TOPICS} <= WORKS and len(WORKS) > 40
    entries = re.split(r"^### ", REFERENCES, flags=re.M)[1:]
    assert [entry.splitlines()[0] for entry in entries if "```bibtex\n@" not in entry.split("\n#### ")[0]] == []
