"""Which models see the test images, and which rows of results.json their outputs fill."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ptseg_d2.inference.instance_grouping import ComponentGrouping, EmbeddingGrouping, InstanceGrouping
from ptseg_d2.inference.panoptic_model import PanopticModel, Variant
from ptseg_d2.recipe.rounds import SEMANTIC
from ptseg_d2.results.oracle_masks import OracleMaskModel
from ptseg_d2.results.rows import Rows

from torch import nn

ORACLE_MASKS = "instance_oracle_masks"
"""Section of results.json with instance scores inside the true class masks (thesis table 12.1)."""

SECTIONS = ("panoptic", "semantic", "instance")
"""Sections of results.json that a whole panoptic result fills."""

_VARIANT = "panoptic_seg_"
"""Begins the key of an output whose rest is the row of "instance" that it fills."""


class Scored(NamedTuple):
    """What an output of a model fills in results.json.

    Attributes:
        key: of the output.
        section: of results.json.
        row: of that section.
    """

    key: str
    section: str
    row: str


def passes(rows: Rows) -> Iterator[tuple[nn.Module, list[Scored]]]:
    """Models, each with what its outputs fill in results.json; the branches of a row see an image once."""
    for row in rows.single_stages():
        yield rows.panoptic(row), [Scored("panoptic_seg", section, row) for section in SECTIONS]
    semantic_rows = _semantic_rows(rows)
    others = _others(rows)
    for pair, names in _rows_of_stages(rows).items():
        variants = {"panoptic_seg_16way": _restricted(rows, names[0])} if rows.classes.restricted_ids else {}
        scored = [Scored("panoptic_seg", "panoptic", row) for row in names]
        scored += [Scored("panoptic_seg", "semantic", row) for row in semantic_rows.pop(pair[0], [])]
        scored += [Scored("panoptic_seg", "instance", row) for row in names if row != "source"]
        if pair[0] == rows.final[0]:
            variants.update(others)
            scored += [Scored(key, "instance", key.removeprefix(_VARIANT)) for key in others]
            others = {}
        model = rows.panoptic(names[0], variants)
        assert isinstance(model, PanopticModel)
        groupings = [v.grouping for v in model.all_variants().values() if isinstance(v.grouping, EmbeddingGrouping)]
        for grouping in groupings:
            grouping.keep_embeddings = True
        yield model, scored
        for grouping in groupings:
            grouping.keep_embeddings = False
            grouping.forget()
    for stage, names in semantic_rows.items():
        variants = others if stage == rows.final[0] else {}
        scored = [Scored("panoptic_seg", "semantic", row) for row in names]
        scored += [Scored(key, "instance", key.removeprefix(_VARIANT)) for key in variants]
        yield PanopticModel(rows.semantic(stage), None, rows.options, variants=variants), scored
    if rows.oracle_masks:
        for row, any_grouping in _all_groupings(rows):
            yield OracleMaskModel(any_grouping, rows.options, rows.device), [Scored("panoptic_seg", ORACLE_MASKS, row)]


def _rows_of_stages(rows: Rows) -> dict[tuple[str, str], list[str]]:
    """Stages of both branches -> the panoptic rows that show them: the last round is also "selftrain"."""
    stages = rows.panoptic_stages()
    names: dict[tuple[str, str], list[str]] = {}
    for row in rows.panoptic_rows():
        if row in stages and row not in rows.single_stages():
            names.setdefault(stages[row], []).append(row)
    return names


def _semantic_rows(rows: Rows) -> dict[str, list[str]]:
    """Semantic stage -> its rows."""
    before = {"source": rows.supervised, "styled": "styled", "adapted": "adapted"}
    of_stage = {f"semantic_{stage}": [row] for stage, row in before.items()}
    for row, (stage, _) in rows.panoptic_stages().items():
        if stage.startswith(SEMANTIC) and not row.startswith("mix"):
            of_stage.setdefault(stage, []).append(row)
    return {stage: names for stage, names in of_stage.items() if stage in rows.stages}


def _restricted(rows: Rows, row: str) -> Variant:
    """The row with the classes outside of the 16-way means, which SYNTHIA does not have, taken out of the logits."""
    _, instance = rows.panoptic_stages()[row]
    return Variant(rows.grouping(instance), rows.min_score(instance), rows.classes.restricted_ids)


def _others(rows: Rows) -> dict[str, Variant]:
    """The other instance models inside the final class masks, by their keys in the output."""
    if rows.final[0] not in rows.stages:
        return {}
    variants = {}
    for row, grouping in _other_groupings(rows):
        key = f"{_VARIANT}{row}"
        variants[f"{key}{rows.mark}"] = Variant(grouping)
        # The same threshold on the other models tells its share from that of the training.
        if row != "components" and rows.final[1] in rows.stages:
            variants[f"{key}_thresholded{rows.mark}"] = Variant(grouping, rows.min_score(rows.final[1]))
    return variants


def _other_groupings(rows: Rows) -> Iterator[tuple[str, InstanceGrouping]]:
    for stage, row in (("source", rows.supervised), ("adapted", "adapted")):
        if f"instance_{stage}" in rows.stages:
            yield row, rows.grouping(f"instance_{stage}")
    yield "components", ComponentGrouping(rows.options)


def _all_groupings(rows: Rows) -> Iterator[tuple[str, InstanceGrouping]]:
    yield from _other_groupings(rows)
    for row, (_, instance) in rows.panoptic_stages().items():
        if instance != "instance_source" and instance in rows.stages:
            yield row, rows.grouping(instance)
