"""Keys that had another name or are gone: errors say what to use, and what older versions wrote is understood."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from ptseg_d2.errors import RecipeError

from detectron2.config import CfgNode

RENAMED = {
    # What matters after training only is free after training, as one node.
    "INSTANCE.MIN_SCORE": "EVAL.MIN_SCORE",
    "INSTANCE.MIN_STUFF_AREA": "EVAL.MIN_STUFF_AREA",
    "INSTANCE.OPENING": "EVAL.OPENING",
    "INSTANCE.CLOSING": "EVAL.CLOSING",
    "INSTANCE.ORACLE_CURVES": "EVAL.ORACLE_CURVES",
    "INSTANCE.ORACLE_PERIOD": "EVAL.ORACLE_PERIOD",
    "INSTANCE.ORACLE_IMAGES": "EVAL.ORACLE_IMAGES",
    "MODEL.EINET.CENTER_THRESHOLD": "EVAL.CENTERS.THRESHOLD",
    "MODEL.EINET.NMS_KERNEL": "EVAL.CENTERS.NMS_KERNEL",
    "MODEL.EINET.TOP_K": "EVAL.CENTERS.TOP_K",
    "MODEL.EINET.INSTANCE_SCORE": "EVAL.CENTERS.SCORE",
    "RECIPE.SUPERVISED_ROW": "EVAL.SUPERVISED_ROW",
    "RECIPE.NUM_PICTURES": "EVAL.NUM_PICTURES",
    "RECIPE.REPORT": "EVAL.REPORT",
    "RECIPE.REPORT_IMAGES": "EVAL.REPORT_IMAGES",
    "RECIPE.PSEUDO_LABEL_PICTURES": "EVAL.PSEUDO_LABEL_PICTURES",
    "TEST.ORACLE_MASKS": "EVAL.ORACLE_MASKS",
    "TEST.BOOTSTRAP": "EVAL.BOOTSTRAP",
    # Both branches draw their target images by them.
    "MODEL.SELF_TRAINING.IMPORTANCE_SAMPLING": "INPUT.IMPORTANCE_SAMPLING",
    "MODEL.SELF_TRAINING.UNIFORM_PRIOR": "INPUT.UNIFORM_PRIOR",
    "MODEL.SELF_TRAINING.UNIFORM_CLASSES": "INPUT.UNIFORM_CLASSES",
    # A mix is a choice among networks (INSTANCE.MIX_FROM); this is ClassMix.
    "INPUT.MIX_JITTER": "INPUT.CLASS_MIX_JITTER",
    "INPUT.MIX_BLUR_PROBABILITY": "INPUT.CLASS_MIX_BLUR_PROBABILITY",
}
"""Old name -> new name."""

EMBEDDING_TEACHER = "EmbeddingMomentumTeacher"
"""MODEL.META_ARCHITECTURE of the instance teacher."""

INSTANCE_TEACHER = ("RAMP_ITERS", "BN_STATS", "EVALUATE")
"""Keys of MODEL.SELF_TRAINING that were the instance teacher's too; INSTANCE has its own now."""

REMOVED = {"MODEL.EMBEDDING.KERNEL_THRESHOLD": 0.5, "MODEL.PANOPTIC_UNET.EMBED_STUFF": False}
"""Key that is gone -> the one value that everybody had, with which the code goes on."""

HINTS = {
    "INSTANCE.GROUP": "the recipe gives each run its group; INSTANCE.GROUPS says which there are",
    "RECIPE.ROUND": "the recipe counts the rounds; RECIPE.ROUNDS says how many there are",
    "INPUT.GUIDANCE_MASKS": "the recipe gives each round its guidance; RECIPE.GUIDANCE says which",
    **{key: f"it is always {value}" for key, value in REMOVED.items()},
}
"""Key that is gone -> what to do instead."""


def register_renamed_keys(cfg: CfgNode) -> None:
    """Let a config answer an old name, in a file or on the command line, with an error that says what to use."""
    for old, new in RENAMED.items():
        cfg.register_renamed_key(old, new)
    for gone, hint in HINTS.items():
        cfg.register_renamed_key(gone, "nothing", f"{hint}.")


def ignored_keys(cfg: CfgNode) -> dict[str, str]:
    """Keys of MODEL.SELF_TRAINING that the model of a config does not read -> the keys that it reads instead."""
    if cfg.MODEL.META_ARCHITECTURE != EMBEDDING_TEACHER:
        return {}
    return {f"MODEL.SELF_TRAINING.{key}": f"INSTANCE.{key}" for key in INSTANCE_TEACHER}


def check_ignored_keys(cfg: CfgNode, named: Container[str], source: str) -> None:
    """Refuse options of the semantic teacher that somebody gives the instance teacher, which has its own.

    Args:
        cfg: of one stage.
        named: the keys that somebody sets for this stage alone.
        source: where, for the message.

    Raises:
        RecipeError: names the key to set.
    """
    for ignored, read in ignored_keys(cfg).items():
        if ignored in named:
            raise RecipeError(f"{source}: {ignored} does nothing to {EMBEDDING_TEACHER}; set {read}")


def current_keys(flat: Mapping[str, Any]) -> dict[str, Any]:
    """A flat config of any version with the names of today; a key that is gone stays if its value was another.

    Args:
        flat: dotted name -> value, as `ptseg_d2.config.flatten` returns it.
    """
    new = {RENAMED.get(key, key): value for key, value in flat.items()}
    is_old = "INSTANCE.RAMP_ITERS" not in flat
    if is_old and flat.get("MODEL.META_ARCHITECTURE") == EMBEDDING_TEACHER:
        for key in INSTANCE_TEACHER:
            if f"MODEL.SELF_TRAINING.{key}" in new:
                new[f"INSTANCE.{key}"] = new.pop(f"MODEL.SELF_TRAINING.{key}")
    return {key: value for key, value in new.items() if key not in REMOVED or value != REMOVED[key]}
