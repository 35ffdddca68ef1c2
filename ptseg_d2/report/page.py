"""A page of tables and pictures as one HTML file that needs nothing else: no network, no other file.

Plain data in, HTML out; what the tables and pictures mean is decided by `ptseg_d2.report.report`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Union

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).with_name("templates")


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: as shown.
        value: what the column is sorted by; None = missing, comes last.
        note: small print below the text.
        mark: shown as a warning beside the text.
    """

    text: str
    value: float | str | None
    note: str = ""
    mark: str = ""


@dataclass(frozen=True)
class Table:
    """A table that is sorted by a click on a header.

    Attributes:
        columns: headers; the first column names the rows.
        rows: one cell per column.
        caption: what it shows.
        fixed_rows: stay below the others whatever they are sorted by.
        fixed_title: a line above those.
        is_words: cells are words, not numbers.
    """

    kind: ClassVar[str] = "table"
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    fixed_rows: Sequence[Sequence[Cell]] = ()
    fixed_title: str = ""
    is_words: bool = False


@dataclass(frozen=True)
class Figure:
    """A picture.

    Attributes:
        source: data URI.
        alt: what it shows, for those who cannot see it.
        caption: below it.
        is_wide: scrolls sideways on a narrow screen, because its text would be too small to read.
    """

    kind: ClassVar[str] = "figure"
    source: str
    alt: str
    caption: str = ""
    is_wide: bool = False


@dataclass(frozen=True)
class Gallery:
    """Titled rows of pictures of the same kinds.

    Attributes:
        rows: title -> its pictures.
    """

    kind: ClassVar[str] = "gallery"
    rows: Sequence[tuple[str, Sequence[Figure]]]


@dataclass(frozen=True)
class Legend:
    """Names of colours: (name, RGB 0..255) pairs."""

    kind: ClassVar[str] = "legend"
    entries: Sequence[tuple[str, Sequence[int]]]


@dataclass(frozen=True)
class Text:
    """A paragraph; a missing part of the report is shown as such."""

    kind: ClassVar[str] = "text"
    text: str
    is_missing: bool = False


@dataclass(frozen=True)
class Listing:
    """A long text as it is, folded away."""

    kind: ClassVar[str] = "listing"
    title: str
    text: str


@dataclass(frozen=True)
class Heading:
    """A heading inside a section."""

    kind: ClassVar[str] = "heading"
    text: str


Block = Union[Table, Figure, Gallery, Legend, Text, Listing, Heading]


@dataclass(frozen=True)
class Section:
    """A numbered part of the page, in the table of contents.

    Attributes:
        title: heading.
        blocks: its content, in order.
    """

    title: str
    blocks: Sequence[Block]


def number_cell(value: float | None, interval: Sequence[float | None] | None = None, digits: int = 1) -> Cell:
    """A number, with a 95 % interval as small print.

    Args:
        value: None or not finite = missing.
        interval: lower and upper end; None = unknown.
        digits: decimals.
    """
    if value is None or not math.isfinite(value):
        return Cell("–", None)
    note = ""
    if interval is not None and len(interval) == 2 and all(end is not None for end in interval):
        note = f"{interval[0]:.{digits}f} – {interval[1]:.{digits}f}"
    return Cell(f"{value:.{digits}f}", float(value), note)


def missing(text: str) -> Text:
    """What is said in place of a part that cannot be shown."""
    return Text(text, is_missing=True)


def render(title: str, sections: Sequence[Section]) -> str:
    """The page.

    Args:
        title: of the page.
        sections: in order.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("report.html").render(title=title, sections=sections)
