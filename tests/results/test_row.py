"""Rows print their own names, and are read back from what results.json says of them."""

from __future__ import annotations

from ptseg_d2.results.row import Row, rows_of

import pytest


@pytest.mark.parametrize(
    ("row", "name", "reads_labels"),
    [
        (Row("source"), "source", False),
        (Row("oracle"), "oracle", True),
        (Row("source", thresholded=True), "source_thresholded", False),
        (Row("selftrain", round=2), "selftrain_round2", False),
        (Row("selftrain", guided_by_labels=True), "selftrain_oracle_guidance", True),
        (Row("selftrain", 3, guided_by_labels=True), "selftrain_oracle_guidance_round3", True),
        (Row("adapted", guided_by_labels=True, thresholded=True), "adapted_thresholded_oracle_guidance", True),
        (Row("mix"), "mix", False),
        (Row("mix", chosen_by_labels=True), "mix_oracle", True),
    ],
)
def test_names_and_marks(row: Row, name: str, reads_labels: bool) -> None:
    assert (row.name, row.reads_labels) == (name, reads_labels)
    assert Row(**row.facts()) == row


def test_order_and_what_is_not_described() -> None:
    rows = [
        *(Row("source"), Row("source", thresholded=True), Row("styled"), Row("adapted")),
        *(Row("selftrain"), Row("selftrain", guided_by_labels=True), Row("selftrain", 1), Row("selftrain", 2)),
        *(Row("mix"), Row("mix", chosen_by_labels=True), Row("oracle"), Row("components"), Row("detector")),
    ]
    results = {
        "rows": {row.name: row.facts() for row in rows},
        "panoptic": {row.name: {} for row in reversed(rows[:8])},
        "instance": {**{row.name: {} for row in reversed(rows[4:])}, "of a later version": {}},
    }
    found = rows_of(results, ["panoptic", "instance"])
    assert list(found.values())[: len(rows)] == rows
    assert found["of a later version"] == Row("of a later version")
    assert list(rows_of(results, ["panoptic"]).values()) == rows[:8]
    assert rows_of({}, ["panoptic"]) == {}


def test_rows_of_rounds_are_those_that_another_evaluation_may_lack() -> None:
    assert [Row("selftrain", 1).of_rounds, Row("selftrain", guided_by_labels=True).of_rounds] == [True, True]
    assert not Row("selftrain").of_rounds and not Row("mix", chosen_by_labels=True).of_rounds
