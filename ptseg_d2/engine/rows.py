"""The rows of results.json as models, built from the checkpoints of a recipe's finished stages."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from ptseg_d2.data.categories import CLASS_NAMES, THING_IDS, class_ids
from ptseg_d2.engine.groups import run_configs
from ptseg_d2.engine.mix import mix_row, mixed_networks
from ptseg_d2.engine.oracle_masks import OracleMaskModel
from ptseg_d2.engine.recipe import trains_groups
from ptseg_d2.engine.weights import trained_network
from ptseg_d2.inference.predictor import (
    ComponentFinder,
    EmbeddingFinder,
    InstanceFinder,
    PanopticModel,
    PanopticOptions,
)
from ptseg_d2.modeling.embedding_teacher import build_clustering

from detectron2.config import CfgNode
from torch import nn

logger = logging.getLogger(__name__)

Stages = dict[str, CfgNode]

ORACLE_MASKS = "instance_oracle_masks"
"""Section of results.json with instance scores inside the true class masks (thesis table 12.1)."""


class Rows:
    """The rows of results.json as models, built from checkpoints when they are asked for."""

    def __init__(self, cfg: CfgNode, stages: list[CfgNode]) -> None:
        """
        Args:
            cfg: the config the user asked for.
            stages: configs of its recipe, as `load_recipe` returns them.
        """
        self.stages: Stages = {stage.RECIPE.STAGE: stage for stage in stages}
        self.options = panoptic_options(cfg)
        self.supervised = cfg.RECIPE.SUPERVISED_ROW
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
        if rest and start is not None and not trains_groups(start) and not cfg.RECIPE.INIT_BACKBONE_ONLY:
            networks.append((rest, trained_network(start)))  # the network that the groups started from
        elif rest:
            logger.warning("No network of %s separates %s", cfg.OUTPUT_DIR, ", ".join(CLASS_NAMES[i] for i in rest))
        return networks

    def panoptic(self, row: str) -> PanopticModel:
        """The whole system of a row of `panoptic_rows`."""
        semantic, instance = self._panoptic_stages()[row]
        min_score = 0.0 if instance == "instance_source" else self._min_score(instance)
        return PanopticModel(self.semantic(semantic), self.finder(instance), self.options, min_score)

    def _min_score(self, stage: str) -> float:
        """The threshold of a stage's predictions; other models keep all.

        Self-training selects its pseudo labels by their stability, and its predictions likewise, but by one network
        and one anchor, the mean of the instance, and by the class probability. Rows `*_sure` show the same threshold
        on the other models.
        """
        return float(self.stages[stage].INSTANCE.MIN_SCORE)

    def panoptic_rows(self) -> list[str]:
        """Rows for which both branches are there."""
        return [row for row, stages in self._panoptic_stages().items() if self.stages.keys() >= set(stages)]

    def _panoptic_stages(self) -> dict[str, tuple[str, str]]:
        """Row -> the stages of its semantic and its instance branch."""
        rows = {
            self.supervised: ("semantic_source", "instance_source"),
            "selftrain": ("semantic_selftrain", "instance_selftrain"),
        }
        if "instance_mix" in self.stages:
            rows[mix_row(self.stages["instance_mix"])] = ("semantic_selftrain", "instance_mix")
        return rows

    def evaluations(self) -> Iterator[tuple[nn.Module, dict[str, str]]]:
        """Models with the (section of results.json -> row) that each one fills."""
        rows = {"source": self.supervised, "styled": "styled", "adapted": "adapted", "selftrain": "selftrain"}
        for stage, row in rows.items():
            if f"semantic_{stage}" in self.stages:
                model = PanopticModel(self.semantic(f"semantic_{stage}"), None, self.options)
                yield model, {"semantic": row}
        for row in self.panoptic_rows():
            sections = {"panoptic": row}
            if row != "source":
                sections["instance"] = row
            yield self.panoptic(row), sections
        if "semantic_selftrain" in self.stages:
            masks = self.semantic("semantic_selftrain")
            for row, finder in self._other_finders():
                yield PanopticModel(masks, finder, self.options), {"instance": row}
                # The same threshold on the other models tells its share from that of the training.
                if row != "components" and "instance_selftrain" in self.stages:
                    min_score = self._min_score("instance_selftrain")
                    yield PanopticModel(masks, finder, self.options, min_score), {"instance": f"{row}_sure"}
        if self.oracle_masks:
            for row, finder in self._all_finders():
                yield OracleMaskModel(finder, self.options), {ORACLE_MASKS: row}

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


def panoptic_options(cfg: CfgNode) -> PanopticOptions:
    """Sizes and morphology from INSTANCE."""
    return PanopticOptions(
        thing_ids=THING_IDS,
        min_thing_share=cfg.INSTANCE.MIN_AREA,
        min_stuff_share=cfg.INSTANCE.MIN_STUFF_AREA,
        opening=cfg.INSTANCE.OPENING,
        closing=cfg.INSTANCE.CLOSING,
    )
