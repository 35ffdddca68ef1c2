"""The rows of results.json as systems, built from the checkpoints of a recipe's finished stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ptseg_d2.classes.tables import ClassTable
from ptseg_d2.errors import RecipeError
from ptseg_d2.inference.panoptic_model import PanopticModel, Variant
from ptseg_d2.inference.protocols import PanopticSystem
from ptseg_d2.inference.unified_model import UnifiedPanopticModel
from ptseg_d2.recipe.models import StageModels
from ptseg_d2.recipe.rounds import INSTANCE, SEMANTIC, best_round, tried_rounds
from ptseg_d2.results.row import Row
from ptseg_d2.stages import STAGES, Stage, StageRun
from ptseg_d2.stages.table import MIX, SELFTRAIN, SUPERVISED, Branch, stage_of

from detectron2.config import CfgNode

Pair = tuple[str, str]
"""Stages of the semantic and of the instance branch."""

SUPERVISED_PAIR: Pair = (stage_of(Branch.SEMANTIC, SUPERVISED).name, stage_of(Branch.INSTANCE, SUPERVISED).name)
MIX_STAGE = stage_of(Branch.INSTANCE, MIX)


class PanopticRows(Protocol):
    """What report and pictures ask of the rows of a run.

    Attributes:
        classes: of its data sets.
    """

    classes: ClassTable

    @property
    def runs(self) -> Mapping[str, StageRun]:
        """The stages whose models count, by name."""
        ...

    def panoptic_rows(self) -> list[Row]:
        """Rows that have a panoptic result, the one that the run is about last."""
        ...

    def panoptic(self, row: Row) -> PanopticSystem:
        """The whole system of a row of `panoptic_rows`."""
        ...


class ResultRows:
    """Which rows a run has, and the systems behind them; networks are loaded when they are asked for."""

    def __init__(self, cfg: CfgNode, runs: Sequence[StageRun]) -> None:
        """
        Args:
            cfg: the config the user asked for.
            runs: stages of its recipe, as `load_recipe` returns them.
        """
        tried = tried_rounds(runs)
        last = max(1, len(tried))
        self.models = StageModels(cfg, [run for run in runs if run.inputs.round <= last])
        self.classes = self.models.classes
        self.agreements = [agreement for _, agreement in tried]
        self.rounds: list[Pair] = [(pair.semantic.name, pair.instance.name) for pair, _ in tried]
        best = best_round(self.agreements) if tried else 0
        self.final: Pair = self.rounds[best] if tried else (SEMANTIC.name, INSTANCE.name)
        self.supervised = cfg.EVAL.SUPERVISED_ROW
        # Guidance, and with it what it may read, begins with the second round.
        self._reads_labels = cfg.RECIPE.GUIDANCE == "ground_truth"
        self.guided_by_labels = self._reads_labels and bool(self.rounds) and self.final != self.rounds[0]
        self.device = cfg.MODEL.DEVICE
        self.oracle_masks = cfg.EVAL.ORACLE_MASKS

    @property
    def runs(self) -> dict[str, StageRun]:
        """The stages whose models count, by name."""
        return self.models.runs

    def row_of(self, stage: Stage) -> Row:
        """The row of a stage's networks before any round."""
        if stage.model == MIX:
            return Row(MIX, chosen_by_labels=self.runs[stage.name].cfg.INSTANCE.MIX_BY == "oracle")
        return Row(self.supervised if stage.model == SUPERVISED else stage.model)

    def stages_of(self, branch: Branch) -> dict[str, Stage]:
        """The stages of a branch that the run has, without further rounds, in the order of the table."""
        return {name: stage for name, stage in STAGES.items() if stage.branch is branch and name in self.runs}

    def panoptic_rows(self) -> list[Row]:
        """Rows that have a panoptic result, the one that the run is about last."""
        of_branches = [row for row, pair in self.pairs().items() if self.runs.keys() >= set(pair)]
        return [*self.unified(), *of_branches]

    def panoptic_row(self, name: str | None, owner: str) -> Row:
        """The panoptic row of a name.

        Args:
            name: None = the one that the run is about.
            owner: run folder or config, for messages.

        Raises:
            RecipeError: there is none.
        """
        named = {row.name: row for row in self.panoptic_rows()}
        if not named:
            raise RecipeError(f"{owner} trains one branch only: a panoptic result needs both")
        if name is None:
            return list(named.values())[-1]
        if name not in named:
            raise RecipeError(f"{owner} has no panoptic row {name!r}; it has: {', '.join(named)}")
        return named[name]

    def unified(self) -> dict[Row, str]:
        """Row -> its stage, of the networks that do everything alone."""
        return {self.row_of(stage): name for name, stage in self.stages_of(Branch.PANOPTIC).items()}

    def pairs(self) -> dict[Row, Pair]:
        """Row -> the stages of its semantic and its instance branch, whether the run has them or not."""
        rows: dict[Row, Pair] = {Row(self.supervised): SUPERVISED_PAIR}
        rows.update(zip(self.round_rows(), self.rounds))
        rows[Row(SELFTRAIN, guided_by_labels=self.guided_by_labels)] = self.final
        if MIX_STAGE.name in self.runs:
            rows[self.row_of(MIX_STAGE)] = (SEMANTIC.name, MIX_STAGE.name)
        return rows

    def round_rows(self) -> list[Row]:
        """The rows of the rounds that were tried; none if there is only one."""
        if len(self.rounds) < 2:
            return []
        numbers = range(1, len(self.rounds) + 1)
        return [Row(SELFTRAIN, number, self._reads_labels and number > 1) for number in numbers]

    def panoptic(self, row: Row) -> PanopticModel | UnifiedPanopticModel:
        """The whole system of a row of `panoptic_rows`."""
        stage = self.unified().get(row)
        return self.pair_system(row) if stage is None else self.models.unified(stage)

    def pair_system(self, row: Row, variants: Mapping[str, Variant] | None = None) -> PanopticModel:
        """The system of a row of two branches.

        Args:
            row: of `pairs`.
            variants: further results of the same class probabilities.
        """
        return self.models.system(*self.pairs()[row], variants)
