"""Every kind of stage that a recipe can have, with all that the code needs to know about it.

Nothing else knows the name of a stage but to look it up here; a new kind is a new row and, if it does something new, an
entry in `ptseg_d2.recipe.stage_work`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Branch(Enum):
    """What the network of a stage predicts."""

    SEMANTIC = "semantic"
    INSTANCE = "instance"
    PANOPTIC = "panoptic"
    DETECTOR = "detector"


class Work(Enum):
    """What a stage does."""

    TRAIN = "trains a network"
    ADAPT = "replaces batch-norm statistics by those of target images"
    DETECT = "runs a detector that somebody else trained over the target images"
    CHOOSE = "chooses among the networks of finished runs"


class Groups(Enum):
    """Whether a stage is one run for each group of classes (INSTANCE.GROUPS)."""

    NEVER = "never"
    IF_NAMED = "if its config names groups"
    ALWAYS = "always; without groups it is one group of all things"


class Writes(Enum):
    """What a stage predicts on the target images, as files for later stages."""

    MASKS = "class masks"
    DETECTIONS = "detected instances"


@dataclass(frozen=True)
class Stage:
    """One kind of stage.

    Attributes:
        name: RECIPE.STAGE of its configs, and its folder.
        branch: what its network predicts.
        work: what it does.
        model: what its networks are called in the rows of results.json; "supervised" has a name of the config.
        sees_target: whether it may look at target images while it works; their labels are never read.
        groups: whether it is one run for each group of classes.
        writes: what it leaves for later stages besides weights.
    """

    name: str
    branch: Branch
    work: Work
    model: str
    sees_target: bool
    groups: Groups = Groups.NEVER
    writes: Writes | None = None

    @property
    def has_classifier(self) -> bool:
        """Whether its network tells all classes of the data sets apart."""
        return self.branch in (Branch.SEMANTIC, Branch.PANOPTIC)


SUPERVISED, STYLED, ADAPTED, SELFTRAIN = "supervised", "styled", "adapted", "selftrain"
MIX, DETECTOR, COMPONENTS = "mix", "detector", "components"
"""Models of rows; "components" are the connected components of class masks, which no stage makes."""

_STAGES = (
    Stage("semantic_source", Branch.SEMANTIC, Work.TRAIN, SUPERVISED, sees_target=False),
    Stage("semantic_styled", Branch.SEMANTIC, Work.TRAIN, STYLED, sees_target=True),
    Stage("semantic_adapted", Branch.SEMANTIC, Work.ADAPT, ADAPTED, sees_target=True, writes=Writes.MASKS),
    Stage("semantic_selftrain", Branch.SEMANTIC, Work.TRAIN, SELFTRAIN, sees_target=True, writes=Writes.MASKS),
    Stage("instance_source", Branch.INSTANCE, Work.TRAIN, SUPERVISED, sees_target=False, groups=Groups.IF_NAMED),
    Stage("instance_adapted", Branch.INSTANCE, Work.ADAPT, ADAPTED, sees_target=True, groups=Groups.IF_NAMED),
    Stage("instance_selftrain", Branch.INSTANCE, Work.TRAIN, SELFTRAIN, sees_target=True, groups=Groups.ALWAYS),
    Stage("instance_mix", Branch.INSTANCE, Work.CHOOSE, MIX, sees_target=True),
    Stage("panoptic_source", Branch.PANOPTIC, Work.TRAIN, SUPERVISED, sees_target=False),
    Stage("panoptic_adapted", Branch.PANOPTIC, Work.ADAPT, ADAPTED, sees_target=True, writes=Writes.MASKS),
    Stage("panoptic_selftrain", Branch.PANOPTIC, Work.TRAIN, SELFTRAIN, sees_target=True),
    Stage("detector_source", Branch.DETECTOR, Work.TRAIN, DETECTOR, sees_target=False, writes=Writes.DETECTIONS),
    Stage("detector_zoo", Branch.DETECTOR, Work.DETECT, DETECTOR, sees_target=True, writes=Writes.DETECTIONS),
)

STAGES: dict[str, Stage] = {stage.name: stage for stage in _STAGES}
"""By name, in the order in which results are reported."""


def stage_of(branch: Branch, model: str) -> Stage:
    """The only stage of a branch whose networks are called so in the rows of results.json."""
    (stage,) = (stage for stage in _STAGES if (stage.branch, stage.model) == (branch, model))
    return stage
