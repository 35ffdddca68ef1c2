"""The numbers of results.json as tables of the report, with the paper's beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ptseg_d2.report.charts import Curve, class_bars, curve_grid
from ptseg_d2.report.page import Block, Cell, Figure, Table, Text, missing, number_cell
from ptseg_d2.results.row import ROWS, Row, rows_of
from ptseg_d2.stages.table import COMPONENTS, SELFTRAIN

Results = Mapping[str, Any]
Rows = Mapping[str, Mapping[str, Any]]


class Column(NamedTuple):
    """A score: its header, and where it is in results.json."""

    title: str
    section: str
    key: str


COLUMNS = (
    Column("PQ", "panoptic", "PQ"),
    Column("SQ", "panoptic", "SQ"),
    Column("RQ", "panoptic", "RQ"),
    Column("PQ+", "panoptic", "PQ_plus"),
    Column("PQ things", "panoptic", "PQ_th"),
    Column("PQ stuff", "panoptic", "PQ_st"),
    Column("PQ16", "panoptic", "PQ16"),
    Column("mIoU", "semantic", "mIoU"),
    Column("AP50", "instance", "AP50"),
    Column("precision50", "instance", "precision50"),
)
INSTANCE_COLUMNS = ("AP", "AP50", "precision50", "recall50")

REFERENCE_NOTE = "reference: SYNTHIA/GTA5 to Cityscapes, ResNet-101, other data and compute; not comparable"
REFERENCE: dict[str, dict[str, float | tuple[float, float]]] = {
    "thesis, baseline": {
        **{"PQ": 19.83, "SQ": 74.93, "RQ": 24.76, "PQ+": 22.28, "PQ16": 21.13},
        **{"mIoU": (40.6, 40.8), "precision50": 7.09},
    },
    "thesis, self-trained v2": {
        **{"PQ": 34.44, "SQ": 79.55, "RQ": 41.33, "PQ+": 36.36, "PQ16": 36.95},
        **{"mIoU": 52.6, "precision50": 13.50},
    },
    "thesis, self-trained v3+": {
        **{"PQ": 36.27, "SQ": 79.86, "RQ": 43.15, "PQ+": 38.99, "PQ16": 38.75},
        **{"mIoU": 52.8},
    },
}
"""Table 13.1 (19 classes; PQ16 over 16), 11.1 (mIoU, 19 classes; baselines of v3+ and v2) and 12.2 (precision50, there
"mAP8", of "Baseline" and "Self-train ICM 25" in the masks of DeepLabv2)."""

ORACLE_MARK = "oracle: uses target labels"


def score_blocks(results: Results) -> list[Block]:
    """Every row of a run, the rows of [thesis] below those on its classes, and the classes of the means.

    Args:
        results: content of results.json.
    """
    found = rows_of(results, [column.section for column in COLUMNS])
    if not found:
        return [missing("results.json holds no scores.")]
    is_street = "PQ16" in results.get("classes", {})
    columns = [column for column in COLUMNS if is_street or column.key != "PQ16"]
    rows = [[row_cell(row), *(_score(results, column, name) for column in columns)] for name, row in found.items()]
    reference = [
        [Cell(name, name, "reference"), *(_reference(scores.get(column.title)) for column in columns)]
        for name, scores in (REFERENCE if is_street else {}).items()
    ]
    caption = (
        "Percent. Small: 95 % interval over resamples of the test images, where it was computed. AP50 and precision50 "
        "of rows without self-training are inside the class masks of the final network. Click a header to sort."
    )
    note = REFERENCE_NOTE if is_street else ""
    table = Table(["row", *(column.title for column in columns)], rows, caption, reference, note)
    about_thesis = (
        "The thesis' SQ evidently leaves classes without a match out of the mean; here, as in panopticapi, they count "
        "as 0. Its precision50 is called mAP8 there (table 12.2)."
    )
    notes = [Text(about_thesis)] if is_street else []
    return [table, *notes, *_means(results), *_oracle_masks(results)]


def row_cell(row: Row) -> Cell:
    """First cell of a row, marked if the row is not label-free."""
    return Cell(row.name, row.name, mark=ORACLE_MARK if row.reads_labels else "")


def round_blocks(results: Results) -> list[Block]:
    """results["rounds"] as a table and curves; nothing if there is no list of rounds."""
    rounds: Sequence[Mapping[str, Any]] = results.get("rounds") or []
    if not rounds:
        return []
    keys = [key for key in dict.fromkeys(key for entry in rounds for key in entry) if key != "round"]
    described = {name: Row(**facts) for name, facts in results.get(ROWS, {}).items()}
    numbers = [entry.get("round", index) for index, entry in enumerate(rounds, start=1)]
    rows = [
        [
            Cell(str(number), number),
            *(
                row_cell(described.get(entry[key], Row(entry[key]))) if key == "row" else _any_cell(entry.get(key))
                for key in keys
            ),
        ]
        for number, entry in zip(numbers, rounds)
    ]
    panels: dict[str, dict[str, Curve]] = {}
    for key in keys:
        points = [(number, entry[key]) for number, entry in zip(numbers, rounds) if _is_number(entry.get(key))]
        if points:
            panels[key] = {"": ([x for x, _ in points], [y for _, y in points])}
    blocks: list[Block] = [Table(["round", *keys], rows, "Rounds of semantic and instance self-training.")]
    if panels:
        blocks.append(Figure(curve_grid(panels, "round"), f"{', '.join(panels)} by round", is_wide=True))
    return blocks


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _any_cell(value: Any) -> Cell:
    """Of a number, a word, or a yes or no."""
    if value is None or _is_number(value):
        return number_cell(value, digits=2)
    text = {True: "yes", False: "no"}.get(value, str(value))
    return Cell(text, text)


def per_class_blocks(results: Results) -> list[Block]:
    """PQ, IoU and AP50 per class, first and last row of each section: bars, and a table that can be sorted."""
    panels: dict[str, Mapping[str, Mapping[str, float | None]]] = {}
    for section, score in (("panoptic", "PQ"), ("semantic", "IoU"), ("instance", "AP50")):
        values = {row: _per_class(results[section][row], score) for row in before_after(results, section)}
        if any(values.values()):
            panels[score] = values
    if not panels:
        return [missing("results.json holds no scores per class.")]
    columns = {f"{score} {row}": scores for score, rows in panels.items() for row, scores in rows.items()}
    names = list(dict.fromkeys(name for scores in columns.values() for name in scores))
    alt = "; ".join(f"{score} per class: {' and '.join(rows)}" for score, rows in panels.items())
    lines = [[Cell(name, name), *(number_cell(scores.get(name)) for scores in columns.values())] for name in names]
    return [
        Figure(class_bars(panels, names), alt, "Percent; first and last row.", is_wide=True),
        Table(["class", *columns], lines, "The same as numbers."),
    ]


def before_after(results: Results, section: str) -> list[str]:
    """First and last row of a section among those of the recipe's own stages; one name if they are the same."""
    rows = [row for row in rows_of(results, [section]).values() if not row.thresholded and row.model != COMPONENTS]
    kept = [row for row in rows if row.model == SELFTRAIN and row.round == 0]
    return list(dict.fromkeys(row.name for row in (*rows[:1], *(kept or rows[-1:])[:1])))


def _per_class(scores: Mapping[str, Any], key: str) -> Mapping[str, float | None]:
    if key in scores and isinstance(scores[key], Mapping):
        found: Mapping[str, float | None] = scores[key]
        return found
    return {name: values.get(key) for name, values in scores.get("per_class", {}).items()}


def _score(results: Results, column: Column, row: str) -> Cell:
    scores = results.get(column.section, {}).get(row, {})
    return number_cell(scores.get(column.key), (scores.get("ci95") or {}).get(column.key))


def _reference(value: float | tuple[float, float] | None) -> Cell:
    """As the paper prints it."""
    if value is None:
        return number_cell(None)
    if isinstance(value, tuple):
        return Cell(f"{value[0]:g} – {value[1]:g}", sum(value) / 2)
    return Cell(f"{value:g}", value)


def _means(results: Results) -> list[Block]:
    return [
        Text(f"{name}: mean over {len(classes)} classes: {', '.join(classes)}.")
        for name, classes in results.get("classes", {}).items()
    ]


def _oracle_masks(results: Results) -> list[Block]:
    section: Rows = results.get("instance_oracle_masks", {})
    if not section:
        return []
    rows = [
        [Cell(name, name, mark=ORACLE_MARK), *(number_cell(section[name].get(key)) for key in INSTANCE_COLUMNS)]
        for name in rows_of(results, ["instance_oracle_masks"])
    ]
    return [Table(["row", *INSTANCE_COLUMNS], rows, "Instances inside the true class masks (oracle: not label-free).")]
