"""Which models see the test images, and which rows of results.json their outputs fill."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ptseg_d2.inference.instance_grouping import ComponentGrouping, InstanceGrouping
from ptseg_d2.inference.panoptic_model import PanopticModel, Variant
from ptseg_d2.results.oracle_masks import OracleMaskModel
from ptseg_d2.results.row import SOURCE, Row
from ptseg_d2.results.rows import Pair, ResultRows
from ptseg_d2.stages.table import COMPONENTS, MIX, SELFTRAIN, Branch

from torch import nn

ORACLE_MASKS = "instance_oracle_masks"
"""Section of results.json with instance scores inside the true class masks ([thesis], table 12.1)."""

SECTIONS = ("panoptic", "semantic", "instance")
"""Sections of results.json that a whole panoptic result fills."""

OUTPUT = "panoptic_seg"
"""Key of a model's own result; that of a variant begins with it."""


class Scored(NamedTuple):
    """What an output of a model fills in results.json.

    Attributes:
        key: of the output.
        section: of results.json.
        row: of that section.
    """

    key: str
    section: str
    row: Row


class Pass(NamedTuple):
    """One look of a model at all test images."""

    model: nn.Module
    scored: list[Scored]


def passes(rows: ResultRows) -> Iterator[Pass]:
    """Models, each with what its outputs fill in results.json; the branches of a row see an image once."""
    for row in rows.unified():
        yield Pass(rows.panoptic(row), [Scored(OUTPUT, section, row) for section in SECTIONS])
    semantic_rows = _semantic_rows(rows)
    waiting = _instance_variants(rows)
    for pair, names in _rows_of_pairs(rows).items():
        variants = waiting if pair[0] == rows.final[0] else {}
        waiting = {} if variants else waiting
        restricted = _restricted(rows, names[0]) if rows.models.classes.restricted_ids else {}
        scored = [Scored(OUTPUT, "panoptic", row) for row in names]
        scored += [Scored(OUTPUT, "semantic", row) for row in semantic_rows.pop(pair[0], [])]
        scored += [Scored(OUTPUT, "instance", row) for row in names if row != Row(SOURCE)]
        scored += [Scored(_key(row), "instance", row) for row in variants]
        model = rows.pair_system(names[0], {**restricted, **_by_key(variants)})
        with model.sharing_embeddings():
            yield Pass(model, scored)
    for stage, names in semantic_rows.items():
        variants = waiting if stage == rows.final[0] else {}
        scored = [Scored(OUTPUT, "semantic", row) for row in names]
        scored += [Scored(_key(row), "instance", row) for row in variants]
        network, options = rows.models.predictor(stage), rows.models.options
        yield Pass(PanopticModel(network, None, options, variants=_by_key(variants)), scored)
    if rows.oracle_masks:
        for row, grouping in _all_groupings(rows):
            model_in_masks = OracleMaskModel(grouping, rows.models.options, rows.device)
            yield Pass(model_in_masks, [Scored(OUTPUT, ORACLE_MASKS, row)])


def _key(row: Row) -> str:
    return f"{OUTPUT}_{row.name}"


def _by_key(variants: dict[Row, Variant]) -> dict[str, Variant]:
    return {_key(row): variant for row, variant in variants.items()}


def _rows_of_pairs(rows: ResultRows) -> dict[Pair, list[Row]]:
    """Stages of both branches -> the panoptic rows that show them: the last round is also "selftrain"."""
    found: dict[Pair, list[Row]] = {}
    for row, pair in rows.pairs().items():
        if rows.runs.keys() >= set(pair):
            found.setdefault(pair, []).append(row)
    return found


def _semantic_rows(rows: ResultRows) -> dict[str, list[Row]]:
    """Semantic stage -> its rows; those of self-training have the marks of the panoptic ones."""
    of_branch = rows.stages_of(Branch.SEMANTIC)
    found = {name: [rows.row_of(stage)] for name, stage in of_branch.items() if stage.model != SELFTRAIN}
    for row, (stage_name, _) in rows.pairs().items():
        if row.model == SELFTRAIN and stage_name in rows.runs:
            found.setdefault(stage_name, []).append(row)
    return found


def _restricted(rows: ResultRows, row: Row) -> dict[str, Variant]:
    """The row with the classes outside of the 16-way means, which SYNTHIA does not have, taken out of the logits."""
    models, (_, instance) = rows.models, rows.pairs()[row]
    variant = Variant(models.grouping(instance), models.min_score(instance), models.classes.restricted_ids)
    return {f"{OUTPUT}_16way": variant}


def _instance_variants(rows: ResultRows) -> dict[Row, Variant]:
    """The other instance models inside the final class masks."""
    semantic, instance = rows.final
    if semantic not in rows.runs:
        return {}
    mark = rows.guided_by_labels
    variants = {}
    for row, grouping in _other_groupings(rows):
        variants[Row(row.model, guided_by_labels=mark)] = Variant(grouping)
        # The same threshold on the other models tells its share from that of the training.
        if row.model != COMPONENTS and instance in rows.runs:
            threshold = rows.models.min_score(instance)
            variants[Row(row.model, guided_by_labels=mark, thresholded=True)] = Variant(grouping, threshold)
    return variants


def _other_groupings(rows: ResultRows) -> Iterator[tuple[Row, InstanceGrouping]]:
    for name, stage in rows.stages_of(Branch.INSTANCE).items():
        if stage.model not in (SELFTRAIN, MIX):
            yield rows.row_of(stage), rows.models.grouping(name)
    yield Row(COMPONENTS), ComponentGrouping(rows.models.options)


def _all_groupings(rows: ResultRows) -> Iterator[tuple[Row, InstanceGrouping]]:
    yield from _other_groupings(rows)
    for row, (_, instance) in rows.pairs().items():
        if row.model in (SELFTRAIN, MIX) and instance in rows.runs:
            yield row, rows.models.grouping(instance)
