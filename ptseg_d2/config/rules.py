"""Which keys decide what: the settings of a finished stage, the weights of a network, its embeddings, a mix.

Nodes as a whole wherever that is right, and single keys with their reason. A new key is a setting of the stages unless
it stands below a node that is not.
"""

from __future__ import annotations

SETTING, FREE = True, False

STAGE_RULES = {
    **dict.fromkeys(("DATASETS", "GLOBAL", "INPUT", "INSTANCE", "MODEL", "RECIPE", "SOLVER", "WORLD"), SETTING),
    **dict.fromkeys(("SEED", "VIS_PERIOD"), SETTING),
    "FLOAT32_PRECISION": SETTING,  # of newer versions of Detectron2
    "EVAL": FREE,  # ours, of what matters after training only
    "DATALOADER": FREE,  # how images are loaded, never which
    "OUTPUT_DIR": FREE,  # a run may be moved
    "VERSION": FREE,  # of the file format
    "CUDNN_BENCHMARK": FREE,  # speed
    "MODEL.DEVICE": FREE,
    "DATASETS.TEST": FREE,
    "SOLVER.CHECKPOINT_PERIOD": FREE,
    # Where the recipe finds its stages, and how many rounds of them there are. What the round and its guidance decide
    # for a stage is among the inputs of that stage.
    "RECIPE.NEEDS": FREE,
    "RECIPE.NEEDS_DIR": FREE,
    "RECIPE.SEMANTIC_NETWORK": FREE,  # its keys are in MODEL, INPUT and SOLVER of the stages that it is for
    "RECIPE.ROUNDS": FREE,
    "RECIPE.GUIDANCE": FREE,
    "RECIPE.AGREEMENT_IMAGES": FREE,
    # Detectron2's node of thresholds, sizes and scores, but for two keys of its network.
    "MODEL.PANOPTIC_DEEPLAB": FREE,
    "MODEL.PANOPTIC_DEEPLAB.SIZE_DIVISIBILITY": SETTING,
    "MODEL.PANOPTIC_DEEPLAB.USE_DEPTHWISE_SEPARABLE_CONV": SETTING,
    # Detectron2's node of the test, in which some keys reach further.
    "TEST": FREE,
    "TEST.DETECTIONS_PER_IMAGE": SETTING,  # bounds the detections that a stage of a detector writes
    "TEST.PRECISE_BN": SETTING,  # replaces batch-norm statistics during training
    "TEST.EVAL_PERIOD": SETTING,  # when it does; and a test draws a random number, after which dropout draws others
}
"""Node or key -> whether it is a setting of a stage; the longest name that a key begins with counts."""

WEIGHTS = tuple(
    f"MODEL.{name}"
    for name in (
        *("META_ARCHITECTURE", "BACKBONE", "RESNETS", "SEM_SEG_HEAD", "BISENET", "EMBEDDING", "EINET"),
        *("INS_EMBED_HEAD", "PANOPTIC_UNET"),
        *("TIMM.NAME", "TIMM.OUT_FEATURES", "TIMM.OUTPUT_STRIDE"),
        *("FPN", "ANCHOR_GENERATOR", "ROI_HEADS", "ROI_BOX_HEAD", "ROI_MASK_HEAD", "POINT_HEAD", "DETECTOR.CLASSES"),
    )
)
"""Nodes and keys that decide which weights a checkpoint holds, and what they compute."""

EMBEDDINGS = (
    *("MODEL.META_ARCHITECTURE", "MODEL.BACKBONE", "MODEL.RESNETS", "MODEL.PIXEL_MEAN", "MODEL.PIXEL_STD"),
    *("MODEL.TIMM.NAME", "MODEL.TIMM.OUT_FEATURES", "MODEL.TIMM.OUTPUT_STRIDE", "MODEL.EMBEDDING", "INPUT.FORMAT"),
)
"""Nodes and keys that decide what the weights and the distances of embeddings mean."""

EMBEDDING_LOSS = tuple(
    f"MODEL.EMBEDDING.{key}" for key in ("EPSILON", "EPSILON_DECAY", "PULL", "PUSH", "REG", "OBJECT", "UNLABELED_PUSH")
)
"""The keys of MODEL.EMBEDDING that weigh the loss: networks that were trained with others may stand side by side."""


RECIPE_WIDE = ("DATASETS", "WORLD", "SEED", "OUTPUT_DIR", "MODEL.DEVICE", "RECIPE")
"""Nodes and keys that stages cannot have apart, but for `STAGES_OWN`."""

STAGES_OWN = tuple(f"RECIPE.{key}" for key in ("INIT_FROM", "INIT_BACKBONE_ONLY", "MASKS_FROM", "DETECTIONS_FROM"))
"""Keys below RECIPE that each stage has for itself."""


def stage_rule(key: str) -> bool | None:
    """What `STAGE_RULES` say of a key; None = nothing."""
    parts = key.split(".")
    names = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((STAGE_RULES[name] for name in names if name in STAGE_RULES), None)


def is_setting_of_a_stage(key: str) -> bool:
    """Whether a key may not differ between two visits to a stage, because it changes what the stage computes.

    Args:
        key: dotted name; one that no rule knows is a setting.
    """
    return stage_rule(key) is not FREE


def decides_weights(key: str) -> bool:
    """Whether networks that differ in a key hold other weights, or compute something else with them."""
    return _is_below(key, WEIGHTS)


def decides_embeddings(key: str) -> bool:
    """Whether the embeddings of networks that differ in a key cannot be clustered in the same way."""
    return _is_below(key, EMBEDDINGS) and not _is_below(key, EMBEDDING_LOSS)


def decides_mix(key: str) -> bool:
    """Whether a key decides which networks a mix chooses; only the stage "instance_mix" looks at it."""
    return key.startswith("INSTANCE.MIX_")


def is_recipe_wide(key: str) -> bool:
    """Whether a key has one value for all stages of a recipe, that of the config which the user asks for."""
    return _is_below(key, RECIPE_WIDE) and key not in STAGES_OWN


def _is_below(key: str, names: tuple[str, ...]) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in names)
