"""Reads the keys of this package, their defaults and their comments from its source."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_UNIT = r"(?:in (?:[\[(][^\])]*[\])]|[^,;]+)|>=? [\d.]+)"
_TAIL = re.compile(rf"^(?P<meaning>.*?)[,;] (?P<unit>{_UNIT}(?:, {_UNIT})*)(?P<special>; \S+ = [^;]*)?$")


@dataclass(frozen=True)
class Key:
    """A key as its source defines it.

    Attributes:
        name: dotted.
        default: its value.
        comment: one line, which ends with unit or range: ", in pixels", ", in [0, 1]", ", >= 0", perhaps followed by
            what a special value means: "; 0 = off". Choices of a text stand in quotation marks.
    """

    name: str
    default: Any
    comment: str

    @property
    def node(self) -> str:
        """The name without its last part."""
        return self.name.rpartition(".")[0]

    @property
    def unit(self) -> str:
        """Unit, range or choices; "" for a number whose comment has none."""
        return self._unit_and_meaning()[0]

    @property
    def meaning(self) -> str:
        """The comment, without its unit."""
        return self._unit_and_meaning()[1]

    def _unit_and_meaning(self) -> tuple[str, str]:
        if isinstance(self.default, bool):
            return "True, False", self.comment
        if isinstance(self.default, str):
            choices = list(dict.fromkeys(re.findall(r'"(\w+)"', self.comment)))
            return ", ".join(choices) if self.default in choices else "text", self.comment
        match = _TAIL.match(self.comment)
        if match:
            unit = re.sub(r"(^|, )in ", r"\1", match["unit"])
            return unit + (match["special"] or ""), match["meaning"]
        return "list" if isinstance(self.default, (list, tuple)) else "", self.comment


@dataclass(frozen=True)
class Section:
    """What one module adds.

    Attributes:
        title: first line of the module's docstring.
        remarks: node -> docstrings of the functions that add keys to it.
        keys: in the order of the source.
    """

    title: str
    remarks: dict[str, list[str]]
    keys: list[Key]


def read_section(source: str) -> Section:
    """The keys that a module of this package adds.

    Raises:
        ValueError: a key has no comment.
    """
    module, comments = ast.parse(source), _comments(source)
    remarks: dict[str, list[str]] = {}
    keys: list[Key] = []
    for function in (node for node in module.body if isinstance(node, ast.FunctionDef)):
        found = list(_keys_of(function, comments))
        keys += found
        remark = ast.get_docstring(function)
        if remark and not function.name.endswith("_config"):
            for node in dict.fromkeys(key.node for key in found):
                remarks.setdefault(node, []).append(" ".join(remark.split()))
    return Section((ast.get_docstring(module) or "").partition("\n")[0].rstrip("."), remarks, keys)


@dataclass(frozen=True)
class _Comments:
    """Line -> comment: those that have a line of their own, and those behind code."""

    above: dict[int, str]
    behind: dict[int, str]

    def of(self, statement: ast.stmt, name: str) -> str:
        last = statement.end_lineno or statement.lineno
        if last in self.behind:
            return self.behind[last]
        first = statement.lineno
        while first - 1 in self.above:
            first -= 1
        if first == statement.lineno:
            raise ValueError(f"{name} has no comment; say what it means, and its unit or range")
        return " ".join(self.above[line] for line in range(first, statement.lineno))


def _comments(source: str) -> _Comments:
    above: dict[int, str] = {}
    behind: dict[int, str] = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            has_own_line = not token.line[: token.start[1]].strip()
            (above if has_own_line else behind)[token.start[0]] = token.string.lstrip("# ")
    return _Comments(above, behind)


def _keys_of(function: ast.FunctionDef, comments: _Comments) -> Iterator[Key]:
    aliases = {"cfg": ""}
    for statement in (node for node in function.body if isinstance(node, ast.Assign)):
        names = [name for target in statement.targets if (name := _dotted(target, aliases))]
        node = _dotted(statement.value, aliases)
        if node or isinstance(statement.value, ast.Call):  # `options = cfg.A.B` or `options = cfg.A.B = CfgNode()`
            variables = [target.id for target in statement.targets if isinstance(target, ast.Name)]
            aliases.update(dict.fromkeys(variables, node or "".join(names)))
            continue
        for name in names:
            yield Key(name, ast.literal_eval(statement.value), comments.of(statement, name))


def _dotted(node: ast.AST, aliases: dict[str, str]) -> str:
    """Name of the config key that an expression like `cfg.A.B` or `options.B` means; "" for any other."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.insert(0, node.attr)
        node = node.value
    if not parts or not isinstance(node, ast.Name) or node.id not in aliases:
        return ""
    return ".".join([aliases[node.id], *parts]).lstrip(".")
