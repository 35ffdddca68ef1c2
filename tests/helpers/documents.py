"""The documents of the repository, the commands and code in them, and a folder in which these run at small size."""

from __future__ import annotations

import argparse
import glob
import re
import runpy
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import torch

ROOT = Path(__file__).parents[2]

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("datasets/*.md"), *ROOT.glob("docs/**/*.md")])

DEMO = ["python", "tools/train_net.py", "--config-file", "configs/selftrain_icm.yaml"]
"""README's command that trains the main recipe."""

FENCED = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(python|make|pip|git|mkdocs)\s")


class Block(NamedTuple):
    """A fenced block of a document.

    Attributes:
        document: its file.
        line: of the first line inside, from 1.
        language: "python", "bash", ...; "" = none is given.
        title: of a block that is the content of a file, that file; "" = none.
        text: what stands inside.
    """

    document: Path
    line: int
    language: str
    title: str
    text: str


class Command(NamedTuple):
    """A command line of a document.

    Attributes:
        place: "README.md:27".
        words: as a shell splits them, without comments.
    """

    place: str
    words: list[str]


def blocks(document: Path) -> list[Block]:
    """Fenced blocks in their order."""
    text = document.read_text(encoding="utf-8")
    found = []
    for match in FENCED.finditer(text):
        language, info, content = match.groups()
        title = re.search(r'title="([^"]+)"', info)
        line = text.count("\n", 0, match.start()) + 2
        found.append(Block(document, line, language, title.group(1) if title else "", content))
    return found


def commands_in(block: Block) -> Iterator[Command]:
    """Command lines of a block of bash or of no language; a backslash at its end continues a line."""
    if block.language not in ("", "bash"):
        return
    lines = block.text.replace("\\\n", "\0 ").splitlines()
    number = block.line
    for line in lines:
        if COMMAND.match(line):
            place = f"{block.document.relative_to(ROOT).as_posix()}:{number}"
            yield Command(place, shlex.split(line.replace("\0", " "), comments=True))
        number += 1 + line.count("\0")


def followed(block: Block) -> bool:
    """Whether the block is followed to the letter, in its document's order, by tests/docs/test_tutorials.py."""
    return block.language == "bash"


def unfollowed_commands() -> list[Command]:
    """Command lines of all documents but those that are followed."""
    of_documents = (block for document in DOCUMENTS for block in blocks(document) if not followed(block))
    return [command for block in of_documents for command in commands_in(block)]


class _Parsed(BaseException):
    """Carries what a script's parser made of its command line out of the script."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        super().__init__()
        self.arguments = arguments


def parsed(script: Path, words: Sequence[str]) -> argparse.Namespace:
    """What the parser of a script makes of a command line; the script goes no further.

    Raises:
        SystemExit: the parser refuses it.
    """
    parse = argparse.ArgumentParser.parse_args

    def stop(parser: argparse.ArgumentParser, args: Sequence[str] | None = None) -> None:
        raise _Parsed(parse(parser, args))

    with mock.patch.object(argparse.ArgumentParser, "parse_args", stop):
        try:
            run_script(script, words)
        except _Parsed as result:
            return result.arguments
    raise AssertionError(f"{script} parses no arguments")


def run_script(script: Path, words: Sequence[str]) -> None:
    """A script as `python script words`, in this process.

    Raises:
        SystemExit: it ends with another status than 0.
    """
    precision = torch.get_float32_matmul_precision()  # tools/train_net.py sets that of its process
    with mock.patch.object(sys, "argv", [str(script), *words]):
        try:
            runpy.run_path(str(script), run_name="__main__")
        except SystemExit as end:
            if end.code:
                raise
        finally:
            torch.set_float32_matmul_precision(precision)


def run_command(words: Sequence[str], overrides: Sequence[str] = ()) -> None:
    """A command `python script ...` of a document, in the working directory, where patterns are expanded.

    Args:
        words: of the command.
        overrides: KEY VALUE pairs at the end, which make training small.
    """
    python, script, *rest = words
    assert python == "python", words
    arguments = [name for word in rest for name in (sorted(glob.glob(word)) if "*" in word else [word])]
    run_script(Path(script), [*arguments, *overrides])


def make_workplace(folder: Path) -> Path:
    """A folder that looks like a checkout to the commands of documents; what they write stays in it."""
    for name in ("configs", "tools", "datasets"):
        # Data sets below datasets/ are no part of the repository.
        shutil.copytree(ROOT / name, folder / name, ignore=lambda parent, names: _data_sets(Path(parent), names))
    return folder


def _data_sets(parent: Path, names: list[str]) -> list[str]:
    return [name for name in names if parent == ROOT / "datasets" and (parent / name).is_dir()]


def patched(original: str, diff: str) -> str:
    """A file after a diff without line numbers, whose lines occur in it once.

    Args:
        original: content of the file.
        diff: lines that begin with " ", "-" or "+".
    """
    lines = diff.splitlines(keepends=True)
    before, after = ("".join(line[1:] for line in lines if line[0] in kinds) for kinds in (" -", " +"))
    assert original.count(before) == 1, f"the lines of the diff are not, or not once, in the file:\n{before}"
    return original.replace(before, after)
