"""What `make docs` adds to the pages of this folder: those of the repository root, and the API, one page per package.

Documents link to each other as files of the repository. On the site such a link leads to the page of that file; one to
a module leads to its place in the API; one to any other file of the repository becomes plain text. What does not exist
stays as it is, so that `mkdocs build --strict` names it. A short name of references.md in brackets, `[SAC]`, becomes a
link to its entry.
"""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from markdown.extensions.toc import slugify, unique
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PACKAGE = "ptseg_d2"
PAGES = {
    "README.md": "index.md",
    "MODEL_ZOO.md": "model_zoo.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "datasets/README.md": "datasets.md",
}
"""File of the repository -> its page; what is not there yet has none."""

LINK = re.compile(r"(?:(?<=\]\()|(?<=\]: ))(?!\w+:|#)([^)\s#]+)(#[^)\s]*)?(?=\)|$)", re.MULTILINE)
"""Target and anchor of a Markdown link to a file, `[text](file#anchor)` or `[name]: file#anchor`."""
PLAIN = re.compile(r"(?<!!)\[([^\]]*)\]\(plain-text:\)")

REFERENCES = "references.md"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Append the API to the navigation."""
    assert config.nav is not None
    config.nav.append({"API": [{name.removeprefix(f"{PACKAGE}."): _api_page(name)} for name in packages()]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are no files of this folder."""
    for source, page in PAGES.items():
        if (ROOT / source).exists():
            files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    for name in packages():
        files.append(File.generated(config, _api_page(name), content="\n\n".join(api_lines(name))))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links to files of the repository into links between pages."""
    here = page.file.src_uri
    places = {page: source for source, page in PAGES.items()}
    base = posixpath.dirname(places.get(here, f"docs/{here}"))

    def page_of(match: re.Match[str]) -> str:
        target, anchor = match.group(1), match.group(2) or ""
        file = posixpath.normpath(posixpath.join(base, target))
        if file.startswith("docs/") or file in PAGES:
            goal = PAGES.get(file, file.removeprefix("docs/"))
            return posixpath.relpath(goal, posixpath.dirname(here) or ".") + anchor
        if file.startswith(f"{PACKAGE}/") and file.endswith(".py") and (ROOT / file).exists():
            module = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            package = module if file.endswith("__init__.py") else module.rpartition(".")[0]
            return posixpath.relpath(_api_page(package), posixpath.dirname(here) or ".") + f"#{module}"
        return "plain-text:" if (ROOT / file).exists() else target + anchor

    if here.startswith("api/"):
        return markdown
    up = posixpath.relpath(REFERENCES, posixpath.dirname(here) or ".")
    citations = [] if here == REFERENCES else [f"[{name}]: {up}#{anchor}" for name, anchor in works().items()]
    return "\n".join([PLAIN.sub(r"\1", LINK.sub(page_of, markdown)), "", *citations])


def works() -> dict[str, str]:
    """Short names of references.md, each a heading `### [name]`, and their anchors."""
    file = ROOT / "docs" / REFERENCES
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    used: set[str] = set()
    anchors = {}
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        anchor = unique(slugify(heading, "-"), used)
        name = re.fullmatch(r"\[(.+)\]", heading)
        if name:
            anchors[name.group(1)] = anchor
    return anchors


def packages() -> Iterator[str]:
    """Dotted names of the package and all packages below it, in alphabetical order."""
    found = (ROOT / PACKAGE).rglob("__init__.py")
    yield from sorted(".".join(file.parent.relative_to(ROOT).parts) for file in found)


def _api_page(package: str) -> str:
    return f"api/{package}.md"


def api_lines(package: str) -> Iterator[str]:
    """The package itself as the head of its page, and its modules; what is inside them comes from their docstrings."""
    folder = ROOT / package.replace(".", "/")
    options = ["heading_level: 1", *([] if _defines_something(folder / "__init__.py") else ["members: false"])]
    yield "\n      ".join([f"::: {package}\n    options:", *options])
    for file in sorted(folder.glob("*.py")):
        if file.stem != "__init__":
            yield f"::: {package}.{file.stem}"


def _defines_something(file: Path) -> bool:
    """Whether a module has functions or classes of its own, beside names that it imports for its users."""
    body = ast.parse(file.read_text(encoding="utf-8")).body
    return any(isinstance(statement, (ast.FunctionDef, ast.ClassDef)) for statement in body)
