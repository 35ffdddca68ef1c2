"""The rows of results.json as models, built from the checkpoints of a recipe's finished stages."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ptseg_d2.data.categories import CLASS_NAMES, SYNTHIA16_IDS, THING_IDS, class_ids
from ptseg_d2.engine.groups import run_configs
from ptseg_d2.engine.mix import mix_row, mixed_networks
from ptseg_d2.engine.oracle_masks import OracleMaskModel
from ptseg_d2.engine.rounds import (
    INSTANCE,
    SEMANTIC,
    Round,
    best_round,
    stage_name,
    tried_rounds,
    without_untried_rounds,
)
from ptseg_d2.engine.weights import trained_network
from ptseg_d2.inference.predictor import (
    ComponentFinder,
    EmbeddingFinder,
    InstanceFinder,
    PanopticModel,
    PanopticOptions,
    Variant,
)
from ptseg_d2.modeling.embedding_teacher import build_clustering
from ptseg_d2.modeling.momentum_teacher import MomentumTeacher

from detectron2.config import CfgNode
from torch import nn

logger = logging.getLogger(__name__)

Stages = dict[str, CfgNode]

ORACLE_MASKS = "instance_oracle_masks"
"""Section of results.json with instance scores inside the true class masks (thesis table 12.1)."""


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


class Rows:
    """The rows of results.json as models, built from checkpoints when they are asked for."""

    def __init__(self, cfg: CfgNode, stages: list[CfgNode]) -> None:
        """
        Args:
            cfg: the config the user asked for.
            stages: configs of its recipe, as `load_recipe` returns them.
        """
        self.stages: Stages = {stage_name(stage): stage for stage in without_untried_rounds(stages)}
        rounds = tried_rounds(stages)
        self.rounds = [(stage_name(semantic), stage_name(instance)) for (semantic, instance), _ in rounds]
        best = best_round([agreement for _, agreement in rounds]) if rounds else 0
        self.final = self.rounds[best] if rounds else (SEMANTIC, INSTANCE)
        self.options = panoptic_options(cfg)
        self.supervised = cfg.RECIPE.SUPERVISED_ROW
        reads_labels = cfg.RECIPE.ROUNDS > 1 and cfg.RECIPE.GUIDANCE == "ground_truth"
        self.selftrained = "selftrain_oracle_guidance" if reads_labels else "selftrain"
        self.oracle_masks = cfg.TEST.ORACLE_MASKS
        self._semantic: dict[str, nn.Module] = {}
        self._finders: dict[str, EmbeddingFinder] = {}

    def semantic(self, stage: str) -> nn.Module:
        """The trained semantic network of a stage."""
        if stage not in self._semantic:
            self._semantic[stage] = trained_network(self.stages[stage])
        return self._semantic[stage]

    def finder(self, stage: str) -> EmbeddingFinder:
        """The trained instance network(s) of a stage."""
        if stage not in self._finders:
            self._finders[stage] = self._load_finder(self.stages[stage])
        return self._finders[stage]

    def _load_finder(self, cfg: CfgNode) -> EmbeddingFinder:
        networks = mixed_networks(cfg) if cfg.RECIPE.STAGE == "instance_mix" else self._networks(cfg)
        return EmbeddingFinder(
            networks,
            self.options,
            build_clustering(cfg),
        )

    def _networks(self, cfg: CfgNode) -> list[tuple[tuple[int, ...], nn.Module]]:
        """Thing classes and the network that separates them, for each run of a stage."""
        networks = [
            (class_ids(c.INSTANCE.GROUP) if c.INSTANCE.GROUP else THING_IDS, trained_network(c))
            for c in run_configs(cfg)
        ]
        rest = tuple(sorted(set(THING_IDS) - {i for ids, _ in networks for i in ids}))
        start = self.stages.get(cfg.RECIPE.INIT_FROM)
        if rest and start is not None and not cfg.RECIPE.INIT_BACKBONE_ONLY:
            # The networks that the groups started from.
            networks += [(tuple(set(ids) & set(rest)), network) for ids, network in self._networks(start)]
        elif rest:
            logger.warning("No network of %s separates %s", cfg.OUTPUT_DIR, ", ".join(CLASS_NAMES[i] for i in rest))
        return networks

    def panoptic(self, row: str, variants: Mapping[str, Variant] | None = None) -> PanopticModel:
        """The whole system of a row of `panoptic_rows`, with further results of the same class probabilities."""
        semantic, instance = self._panoptic_stages()[row]
        return PanopticModel(
            self.semantic(semantic), self.finder(instance), self.options, self._min_score(instance), variants
        )

    def round_model(self, pair: Round, part: str = "") -> PanopticModel:
        """The system of a round, a new one: what it predicts with, or its "student" or "teacher" in both branches."""
        semantic, instance = pair
        networks = [(ids, _part(network, part)) for ids, network in self._networks(instance)]
        finder = EmbeddingFinder(networks, self.options, build_clustering(instance))
        whole = _part(trained_network(semantic), part)
        return PanopticModel(whole, finder, self.options, float(instance.INSTANCE.MIN_SCORE))

    def _min_score(self, stage: str) -> float:
        """The threshold of a stage's predictions; models without self-training keep all.

        Self-training selects its pseudo labels by their stability, and its predictions likewise, but by one network
        and one anchor, the mean of the instance, and by the class probability. Rows `*_sure` show the same threshold
        on the other models.
        """
        return 0.0 if stage == "instance_source" else float(self.stages[stage].INSTANCE.MIN_SCORE)

    def panoptic_rows(self) -> list[str]:
        """Rows for which both branches are there, the one that the run is about last."""
        return [row for row, stages in self._panoptic_stages().items() if self.stages.keys() >= set(stages)]

    def round_rows(self) -> list[str]:
        """The rows of the rounds that were tried; none if there is only one."""
        if len(self.rounds) < 2:
            return []
        # Guidance, and with it what it may read, begins with the second round.
        return ["selftrain_round1", *(f"{self.selftrained}_round{n + 1}" for n in range(1, len(self.rounds)))]

    def _panoptic_stages(self) -> dict[str, tuple[str, str]]:
        """Row -> the stages of its semantic and its instance branch."""
        rows = {self.supervised: ("semantic_source", "instance_source")}
        rows.update(zip(self.round_rows(), self.rounds))
        rows[self.selftrained] = self.final
        if "instance_mix" in self.stages:
            rows[mix_row(self.stages["instance_mix"])] = ("semantic_selftrain", "instance_mix")
        return rows

    def evaluations(self) -> Iterator[tuple[nn.Module, list[Scored]]]:
        """Models, each with what its outputs fill in results.json; the branches of a row see an image once."""
        semantic_rows = self._semantic_rows()
        others = self._others()
        for pair, rows in self._rows_of_stages().items():
            variants = {"panoptic_seg_16way": self._only_16(rows[0])}
            scored = [Scored("panoptic_seg", "panoptic", row) for row in rows]
            scored += [Scored("panoptic_seg", "semantic", row) for row in semantic_rows.pop(pair[0], [])]
            scored += [Scored("panoptic_seg", "instance", row) for row in rows if row != "source"]
            if pair[0] == self.final[0]:
                variants.update(others)
                scored += [Scored(key, "instance", key.removeprefix(_VARIANT)) for key in others]
                others = {}
            model = self.panoptic(rows[0], variants)
            for variant in model.variants.values():
                if isinstance(variant.finder, EmbeddingFinder):
                    variant.finder.keep_embeddings = True
            yield model, scored
        for stage, rows in semantic_rows.items():
            variants = others if stage == self.final[0] else {}
            scored = [Scored("panoptic_seg", "semantic", row) for row in rows]
            scored += [Scored(key, "instance", key.removeprefix(_VARIANT)) for key in variants]
            yield PanopticModel(self.semantic(stage), None, self.options, variants=variants), scored
        if self.oracle_masks:
            for row, finder in self._all_finders():
                yield OracleMaskModel(finder, self.options), [Scored("panoptic_seg", ORACLE_MASKS, row)]

    def _rows_of_stages(self) -> dict[tuple[str, str], list[str]]:
        """Stages of both branches -> the panoptic rows that show them: the last round is also "selftrain"."""
        stages = self._panoptic_stages()
        rows: dict[tuple[str, str], list[str]] = {}
        for row in self.panoptic_rows():
            rows.setdefault(stages[row], []).append(row)
        return rows

    def _semantic_rows(self) -> dict[str, list[str]]:
        """Semantic stage -> its rows."""
        rows = {"source": self.supervised, "styled": "styled", "adapted": "adapted"}
        of_stage = {f"semantic_{stage}": [row] for stage, row in rows.items()}
        for row, (stage, _) in self._panoptic_stages().items():
            if stage.startswith(SEMANTIC) and not row.startswith("mix"):
                of_stage.setdefault(stage, []).append(row)
        return {stage: rows for stage, rows in of_stage.items() if stage in self.stages}

    def _only_16(self, row: str) -> Variant:
        """The row with the classes that SYNTHIA does not have taken out of the logits."""
        _, instance = self._panoptic_stages()[row]
        return Variant(self.finder(instance), self._min_score(instance), SYNTHIA16_IDS)

    def _others(self) -> dict[str, Variant]:
        """The other instance models inside the final class masks, by their keys in the output."""
        if self.final[0] not in self.stages:
            return {}
        variants = {}
        for row, finder in self._other_finders():
            variants[f"{_VARIANT}{row}"] = Variant(finder)
            # The same threshold on the other models tells its share from that of the training.
            if row != "components" and self.final[1] in self.stages:
                variants[f"{_VARIANT}{row}_sure"] = Variant(finder, self._min_score(self.final[1]))
        return variants

    def _other_finders(self) -> Iterator[tuple[str, InstanceFinder]]:
        for stage, row in (("source", self.supervised), ("adapted", "adapted")):
            if f"instance_{stage}" in self.stages:
                yield row, self.finder(f"instance_{stage}")
        yield "components", ComponentFinder(self.options)

    def _all_finders(self) -> Iterator[tuple[str, InstanceFinder]]:
        yield from self._other_finders()
        for row, (_, instance) in self._panoptic_stages().items():
            if instance != "instance_source" and instance in self.stages:
                yield row, self.finder(instance)


def _part(network: nn.Module, name: str) -> nn.Module:
    """ "student" or "teacher" of a `MomentumTeacher`; the network itself if it is none, or for ""."""
    return getattr(network, name) if name and isinstance(network, MomentumTeacher) else network


def panoptic_options(cfg: CfgNode) -> PanopticOptions:
    """Sizes and morphology from INSTANCE."""
    return PanopticOptions(
        thing_ids=THING_IDS,
        min_thing_share=cfg.INSTANCE.MIN_AREA,
        min_stuff_share=cfg.INSTANCE.MIN_STUFF_AREA,
        opening=cfg.INSTANCE.OPENING,
        closing=cfg.INSTANCE.CLOSING,
    )
