"""What a stage takes from earlier ones."""

from __future__ import annotations

from dataclasses import dataclass

from detectron2.config import CfgNode


@dataclass(frozen=True)
class StageInputs:
    """Files of earlier stages, and which part of the work a run does. Weights are in MODEL.WEIGHTS, as in Detectron2.

    Attributes:
        masks: index.json of class masks that were predicted on DATASETS.TARGET; "" = none.
        guidance: index.json of instance masks, each with one class, that are laid over the semantic pseudo labels.
        detections: index.json of instances that a detector found on DATASETS.TARGET.
        group: thing classes whose objects this run separates; () = all.
        round: of self-training, from 1 on.
    """

    masks: str = ""
    guidance: str = ""
    detections: str = ""
    group: tuple[str, ...] = ()
    round: int = 1

    @classmethod
    def from_config(cls, cfg: CfgNode) -> StageInputs:
        """What the config itself names: INPUT.PREDICTED_MASKS and INPUT.DETECTIONS, files that a user has made."""
        return cls(masks=cfg.INPUT.PREDICTED_MASKS, detections=cfg.INPUT.DETECTIONS)
