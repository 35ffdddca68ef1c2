"""A row of results.json: which model was scored, and how. Nobody takes its name apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ptseg_d2.stages.table import ADAPTED, COMPONENTS, MIX, SELFTRAIN, STYLED

SOURCE, ORACLE = "source", "oracle"
"""Names of the networks that learn from labels alone: of the source, or of the target (not domain adaptation)."""

_ORDER = (SOURCE, STYLED, ADAPTED, SELFTRAIN, MIX, ORACLE, COMPONENTS)
ROWS = "rows"
"""Section of results.json: name of a row -> what it is."""


@dataclass(frozen=True)
class Row:
    """What is in a row.

    Attributes:
        model: "source", "oracle", "styled", "adapted", "selftrain", "mix", "detector" or "components".
        round: of several rounds of self-training; 0 = what the run is about.
        guided_by_labels: in the masks or from the training of a run that labels of the target guided.
        chosen_by_labels: the networks of its classes were chosen by their scores on labels.
        thresholded: instances below the score that self-trained models keep are dropped.
    """

    model: str
    round: int = 0
    guided_by_labels: bool = False
    chosen_by_labels: bool = False
    thresholded: bool = False

    @property
    def name(self) -> str:
        """Key in results.json."""
        parts = (
            self.model,
            "thresholded" if self.thresholded else "",
            "oracle_guidance" if self.guided_by_labels else "",
            "oracle" if self.chosen_by_labels else "",
            f"round{self.round}" if self.round else "",
        )
        return "_".join(part for part in parts if part)

    @property
    def reads_labels(self) -> bool:
        """Whether labels of the target had a part in it, so that it is no domain adaptation."""
        return self.model == ORACLE or self.guided_by_labels or self.chosen_by_labels

    @property
    def of_rounds(self) -> bool:
        """Whether another run of the same recipe may lack it, because its rounds ended elsewhere."""
        return self.round > 0 or self.guided_by_labels

    def facts(self) -> dict[str, Any]:
        """For results.json: what `rows_of` makes rows of again."""
        return dataclasses.asdict(self)

    def position(self) -> tuple[int, int, bool, bool, bool]:
        """Sorts rows as they are shown."""
        known = _ORDER.index(self.model) if self.model in _ORDER else len(_ORDER)
        return (known, self.round, self.guided_by_labels, self.chosen_by_labels, self.thresholded)


def rows_of(results: Mapping[str, Any], sections: Iterable[str]) -> dict[str, Row]:
    """The rows of some sections of results.json, by name, as they are shown; what it does not describe is last.

    Args:
        results: content of results.json; a row that it does not describe is a model of that name.
        sections: "panoptic", "semantic", ...
    """
    described = results.get(ROWS, {})
    names = dict.fromkeys(name for section in sections for name in results.get(section, {}))
    rows = {name: Row(**described[name]) if name in described else Row(name) for name in names}
    return dict(sorted(rows.items(), key=lambda item: item[1].position()))
