"""The trained networks of a recipe's finished stages, loaded when they are asked for, and the systems made of them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from ptseg_d2.config.rules import decides_weights
from ptseg_d2.data.datasets import classes_of
from ptseg_d2.inference.instance_grouping import EmbeddingGrouping
from ptseg_d2.inference.panoptic_model import PanopticModel, Variant
from ptseg_d2.inference.protocols import DensePredictor, as_predictor
from ptseg_d2.inference.unified_model import UnifiedPanopticModel
from ptseg_d2.modeling.building import build_clustering, build_panoptic_options
from ptseg_d2.recipe.groups import parts_of
from ptseg_d2.recipe.mix import mixed_networks
from ptseg_d2.runs.done import DONE, read_done
from ptseg_d2.runs.settings import check_same_settings
from ptseg_d2.stages import StageRun
from ptseg_d2.stages.table import Work
from ptseg_d2.training.checkpoints import load_network

from detectron2.config import CfgNode
from torch import nn

logger = logging.getLogger(__name__)

GroupNetworks = list[tuple[tuple[int, ...], DensePredictor]]
"""Thing classes and the network that separates them."""


def trained_network(run: StageRun) -> nn.Module:
    """The final model of a finished run, in evaluation mode.

    Raises:
        RecipeError: it is not finished, or was trained as another architecture.
    """
    read_done(run.folder)
    check_same_settings(run, run.folder / DONE, decides_weights)
    return load_network(run.cfg, run.inputs, str(run.final_weights))


class StageModels:
    """Networks of the stages of a recipe; each is loaded once."""

    def __init__(self, cfg: CfgNode, runs: Sequence[StageRun]) -> None:
        """
        Args:
            cfg: the config the user asked for.
            runs: stages of its recipe, as `load_recipe` returns them.
        """
        self.runs = {run.name: run for run in runs}
        self.classes = classes_of(cfg)
        self.options = build_panoptic_options(cfg)
        self._networks: dict[str, nn.Module] = {}
        self._groupings: dict[str, EmbeddingGrouping] = {}

    def network(self, stage: str) -> nn.Module:
        """The trained network of a stage without groups."""
        if stage not in self._networks:
            self._networks[stage] = trained_network(self.runs[stage])
        return self._networks[stage]

    def predictor(self, stage: str) -> DensePredictor:
        """The trained semantic network of a stage."""
        return as_predictor(self.network(stage))

    def grouping(self, stage: str) -> EmbeddingGrouping:
        """What the trained instance network(s) of a stage separate."""
        if stage not in self._groupings:
            run = self.runs[stage]
            chosen = run.stage.work is Work.CHOOSE
            networks = mixed_networks(run) if chosen else self._group_networks(run)
            self._groupings[stage] = EmbeddingGrouping(networks, self.options, build_clustering(run.cfg))
        return self._groupings[stage]

    def _group_networks(self, run: StageRun) -> GroupNetworks:
        """Each run of a stage, and for classes that none of them separates the networks that they started from."""
        networks = [
            (self.classes.ids_of_group(part.inputs.group), as_predictor(trained_network(part)))
            for part in parts_of(run)
        ]
        rest = tuple(sorted(set(self.classes.thing_ids) - {i for ids, _ in networks for i in ids}))
        start = self.runs.get(run.cfg.RECIPE.INIT_FROM)
        if rest and start is not None and not run.cfg.RECIPE.INIT_BACKBONE_ONLY:
            found = [(tuple(set(ids) & set(rest)), network) for ids, network in self._group_networks(start)]
            networks += [(ids, network) for ids, network in found if ids]
        elif rest:
            names = ", ".join(self.classes.names[i] for i in rest)
            logger.warning("No network of %s separates %s", run.folder, names)
        return networks

    def min_score(self, stage: str) -> float:
        """The threshold of a stage's predictions; models that never saw the target keep all.

        Self-training selects its pseudo labels by their stability, and its predictions likewise, but by one network
        and one anchor, the mean of the instance, and by the class probability. Rows `*_thresholded` show the same
        threshold on the other models.
        """
        run = self.runs[stage]
        return float(run.cfg.EVAL.MIN_SCORE) if run.stage.sees_target else 0.0

    def system(self, semantic: str, instance: str, variants: Mapping[str, Variant] | None = None) -> PanopticModel:
        """The semantic network of one stage and the instance networks of another.

        Args:
            semantic: stage.
            instance: stage.
            variants: further results of the same class probabilities.
        """
        return PanopticModel(
            self.predictor(semantic), self.grouping(instance), self.options, self.min_score(instance), variants
        )

    def unified(self, stage: str) -> UnifiedPanopticModel:
        """The network of a stage that does everything alone."""
        return UnifiedPanopticModel(self.network(stage), self.runs[stage].cfg.EVAL.MIN_SCORE)

    def round_system(self, semantic: StageRun, instance: StageRun, role: str = "") -> PanopticModel:
        """The system of a round, a new one.

        Args:
            semantic: stage of the round.
            instance: likewise.
            role: "student" or "teacher", in both branches; "" = what each network predicts with.
        """
        networks = [(ids, _in_role(network, role)) for ids, network in self._group_networks(instance)]
        grouping = EmbeddingGrouping(networks, self.options, build_clustering(instance.cfg))
        whole = _in_role(as_predictor(trained_network(semantic)), role)
        return PanopticModel(whole, grouping, self.options, float(instance.cfg.EVAL.MIN_SCORE))


def _in_role(network: DensePredictor, role: str) -> DensePredictor:
    """A network's student or teacher; itself where it has none, as a network that a group started from."""
    return getattr(network, role, network) if role else network
