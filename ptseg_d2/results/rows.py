"""The rows of results.json as models, built from the checkpoints of a recipe's finished stages."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from ptseg_d2.data.datasets import classes_of
from ptseg_d2.inference.instance_grouping import EmbeddingGrouping
from ptseg_d2.inference.panoptic_model import PanopticModel, Variant
from ptseg_d2.inference.unified_model import UnifiedPanopticModel
from ptseg_d2.modeling.options import build_clustering, build_panoptic_options
from ptseg_d2.modeling.teachers.momentum_teacher import MomentumTeacher
from ptseg_d2.recipe.groups import run_configs
from ptseg_d2.recipe.mix import mix_row, mixed_networks
from ptseg_d2.recipe.rounds import (
    INSTANCE,
    SEMANTIC,
    Round,
    best_round,
    stage_name,
    tried_rounds,
)
from ptseg_d2.training.checkpoints import trained_network

from detectron2.config import CfgNode
from torch import nn

logger = logging.getLogger(__name__)

Stages = dict[str, CfgNode]


class Rows:
    """The rows of results.json as models, built from checkpoints when they are asked for."""

    def __init__(self, cfg: CfgNode, stages: list[CfgNode]) -> None:
        """
        Args:
            cfg: the config the user asked for.
            stages: configs of its recipe, as `load_recipe` returns them.
        """
        rounds = tried_rounds(stages)
        last = max(1, len(rounds))
        self.stages: Stages = {stage_name(stage): stage for stage in stages if stage.RECIPE.ROUND <= last}
        self.rounds = [(stage_name(semantic), stage_name(instance)) for (semantic, instance), _ in rounds]
        best = best_round([agreement for _, agreement in rounds]) if rounds else 0
        self.final = self.rounds[best] if rounds else (SEMANTIC, INSTANCE)
        self.classes = classes_of(cfg)
        self.options = build_panoptic_options(cfg)
        self.supervised = cfg.EVAL.SUPERVISED_ROW
        # Guidance, and with it what it may read, begins with the second round.
        self._later_mark = "_oracle_guidance" if cfg.RECIPE.GUIDANCE == "ground_truth" else ""
        self.mark = self._later_mark if self.rounds and self.final != self.rounds[0] else ""
        self.device = cfg.MODEL.DEVICE
        self.oracle_masks = cfg.EVAL.ORACLE_MASKS
        self._semantic: dict[str, nn.Module] = {}
        self._groupings: dict[str, EmbeddingGrouping] = {}

    def semantic(self, stage: str) -> nn.Module:
        """The trained semantic network of a stage."""
        if stage not in self._semantic:
            self._semantic[stage] = trained_network(self.stages[stage])
        return self._semantic[stage]

    def grouping(self, stage: str) -> EmbeddingGrouping:
        """The trained instance network(s) of a stage."""
        if stage not in self._groupings:
            self._groupings[stage] = self._load_grouping(self.stages[stage])
        return self._groupings[stage]

    def _load_grouping(self, cfg: CfgNode) -> EmbeddingGrouping:
        networks = mixed_networks(cfg) if cfg.RECIPE.STAGE == "instance_mix" else self._networks(cfg)
        return EmbeddingGrouping(
            networks,
            self.options,
            build_clustering(cfg),
        )

    def _networks(self, cfg: CfgNode) -> list[tuple[tuple[int, ...], nn.Module]]:
        """Thing classes and the network that separates them, for each run of a stage."""
        networks = [
            (self.classes.ids(c.INSTANCE.GROUP) if c.INSTANCE.GROUP else self.classes.thing_ids, trained_network(c))
            for c in run_configs(cfg)
        ]
        rest = tuple(sorted(set(self.classes.thing_ids) - {i for ids, _ in networks for i in ids}))
        start = self.stages.get(cfg.RECIPE.INIT_FROM)
        if rest and start is not None and not cfg.RECIPE.INIT_BACKBONE_ONLY:
            # The networks that the groups started from.
            found = [(tuple(set(ids) & set(rest)), network) for ids, network in self._networks(start)]
            networks += [(ids, network) for ids, network in found if ids]
        elif rest:
            names = ", ".join(self.classes.names[i] for i in rest)
            logger.warning("No network of %s separates %s", cfg.OUTPUT_DIR, names)
        return networks

    def panoptic(self, row: str, variants: Mapping[str, Variant] | None = None) -> PanopticModel | UnifiedPanopticModel:
        """The whole system of a row of `panoptic_rows`.

        Args:
            row: of both branches, or of a single network.
            variants: further results of the same class probabilities, of both branches only.
        """
        if row in self.single_stages():
            stage = self.stages[self.single_stages()[row]]
            return UnifiedPanopticModel(trained_network(stage), stage.EVAL.MIN_SCORE)
        semantic, instance = self.panoptic_stages()[row]
        return PanopticModel(
            self.semantic(semantic), self.grouping(instance), self.options, self.min_score(instance), variants
        )

    def round_model(self, pair: Round, part: str = "") -> PanopticModel:
        """The system of a round, a new one: what it predicts with, or its "student" or "teacher" in both branches."""
        semantic, instance = pair
        networks = [(ids, _part(network, part)) for ids, network in self._networks(instance)]
        grouping = EmbeddingGrouping(networks, self.options, build_clustering(instance))
        whole = _part(trained_network(semantic), part)
        return PanopticModel(whole, grouping, self.options, float(instance.EVAL.MIN_SCORE))

    def min_score(self, stage: str) -> float:
        """The threshold of a stage's predictions; models without self-training keep all.

        Self-training selects its pseudo labels by their stability, and its predictions likewise, but by one network
        and one anchor, the mean of the instance, and by the class probability. Rows `*_thresholded` show the same
        threshold on the other models.
        """
        return 0.0 if stage == "instance_source" else float(self.stages[stage].EVAL.MIN_SCORE)

    def panoptic_rows(self) -> list[str]:
        """Rows that have a panoptic result, the one that the run is about last."""
        of_branches = [row for row, stages in self.panoptic_stages().items() if self.stages.keys() >= set(stages)]
        return [*self.single_stages(), *of_branches]

    def single_stages(self) -> dict[str, str]:
        """Row -> its stage, of the networks that do everything alone."""
        rows = {self.supervised: "panoptic_source", "adapted": "panoptic_adapted", "selftrain": "panoptic_selftrain"}
        return {row: stage for row, stage in rows.items() if stage in self.stages}

    def round_rows(self) -> list[str]:
        """The rows of the rounds that were tried; none if there is only one."""
        if len(self.rounds) < 2:
            return []
        later = (f"selftrain{self._later_mark}_round{number}" for number in range(2, len(self.rounds) + 1))
        return ["selftrain_round1", *later]

    def panoptic_stages(self) -> dict[str, tuple[str, str]]:
        """Row -> the stages of its semantic and its instance branch."""
        rows = {self.supervised: ("semantic_source", "instance_source")}
        rows.update(zip(self.round_rows(), self.rounds))
        rows[f"selftrain{self.mark}"] = self.final
        if "instance_mix" in self.stages:
            rows[mix_row(self.stages["instance_mix"])] = ("semantic_selftrain", "instance_mix")
        return rows


def _part(network: nn.Module, name: str) -> nn.Module:
    """ "student" or "teacher" of a `MomentumTeacher`; the network itself if it is none, or for ""."""
    return getattr(network, name) if name and isinstance(network, MomentumTeacher) else network
