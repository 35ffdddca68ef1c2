"""One run of a stage, the unit that is trained, recorded and evaluated: its kind, its config and its inputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ptseg_d2.stages.inputs import StageInputs
from ptseg_d2.stages.table import STAGES, Groups, Stage

from detectron2.config import CfgNode

FINAL_WEIGHTS = "model_final.pth"


@dataclass(frozen=True)
class StageRun:
    """A stage of a recipe, or one group of it.

    Attributes:
        stage: its row of the table.
        cfg: its config, frozen; OUTPUT_DIR is the folder of this run alone.
        inputs: what it takes from earlier stages.
        starts_from: the stage whose final weights it starts from, if that has one run for each group; else they are
            in MODEL.WEIGHTS.
        needs_dir: folder of the stages that the recipe needs; the runs below it go by their names.
        group_folder: name of the group's folder; "" = the run is the whole stage.
    """

    stage: Stage
    cfg: CfgNode
    inputs: StageInputs
    starts_from: str = ""
    needs_dir: Path = Path()
    group_folder: str = ""

    @classmethod
    def from_config(cls, cfg: CfgNode) -> StageRun:
        """A stage on its own, with the inputs that its config names; RECIPE.STAGE must be a stage."""
        return cls(STAGES[cfg.RECIPE.STAGE], cfg, StageInputs.from_config(cfg))

    @property
    def folder(self) -> Path:
        """Where it writes."""
        return Path(self.cfg.OUTPUT_DIR)

    @property
    def final_weights(self) -> Path:
        """What it ends with."""
        return self.folder / FINAL_WEIGHTS

    @property
    def name(self) -> str:
        """Name and folder of the stage: from the second round on with its number."""
        return stage_folder(self.stage, self.inputs.round)

    @property
    def title(self) -> str:
        """Of this run in messages: "semantic_source", "instance_selftrain/car"."""
        return f"{self.name}/{self.group_folder}" if self.group_folder else self.name

    @property
    def has_groups(self) -> bool:
        """Whether the stage is one run per group of classes, each in a sub-folder."""
        if self.stage.groups is Groups.IF_NAMED:
            return len(self.cfg.INSTANCE.GROUPS) > 0
        return self.stage.groups is Groups.ALWAYS

    def of_group(self, group: Sequence[str]) -> StageRun:
        """The run of one group of this stage.

        Args:
            group: names of its classes; none = all things.
        """
        folder = group_name(group)
        changes = {"OUTPUT_DIR": str(self.folder / folder)}
        if self.starts_from:
            changes["MODEL.WEIGHTS"] = str(Path(self.starts_from, folder, FINAL_WEIGHTS))
        inputs = dataclasses.replace(self.inputs, group=tuple(group))
        return dataclasses.replace(self.with_keys(changes), inputs=inputs, group_folder=folder)

    def with_keys(self, changes: dict[str, Any]) -> StageRun:
        """The same run with other values of some keys, "NODE.KEY" -> value."""
        cfg = self.cfg.clone()
        cfg.defrost()
        for key, value in changes.items():
            *nodes, last = key.split(".")
            node = cfg
            for name in nodes:
                node = node[name]
            node[last] = value
        cfg.freeze()
        return dataclasses.replace(self, cfg=cfg)


def stage_folder(stage: Stage, number: int) -> str:
    """Name and folder of a stage in a round of self-training."""
    return stage.name if number == 1 else f"{stage.name}_round{number}"


def group_name(group: Sequence[str]) -> str:
    """Folder of a group below its stage: "car+bus", or "all"."""
    return "+".join(group).replace(" ", "_") or "all"
