"""What is compared with a finished stage, and between networks: beside the lists that the rules have replaced."""

from __future__ import annotations

from collections.abc import Callable

from ptseg_d2.config import flatten, get_ptseg_cfg
from ptseg_d2.config.renamed import REMOVED, RENAMED
from ptseg_d2.config.rules import (
    EMBEDDING_LOSS,
    EMBEDDINGS,
    STAGE_RULES,
    WEIGHTS,
    decides_embeddings,
    decides_mix,
    decides_weights,
    is_setting_of_a_stage,
    stage_rule,
)

import pytest

KEYS = tuple(flatten(get_ptseg_cfg()))

WERE_FREE = (
    *("OUTPUT_DIR", "VERSION", "CUDNN_BENCHMARK", "MODEL.DEVICE", "DATALOADER.NUM_WORKERS"),
    *("DATALOADER.CACHE_MB", "DATASETS.TEST", "TEST.ORACLE_MASKS", "SOLVER.CHECKPOINT_PERIOD"),
    *("RECIPE.NEEDS", "RECIPE.NEEDS_DIR", "RECIPE.SEMANTIC_NETWORK"),
    *("RECIPE.NUM_PICTURES", "RECIPE.SUPERVISED_ROW", "RECIPE.REPORT", "RECIPE.REPORT_IMAGES"),
    *("RECIPE.PSEUDO_LABEL_PICTURES", "TEST.BOOTSTRAP"),
    *("RECIPE.ROUNDS", "RECIPE.GUIDANCE", "RECIPE.AGREEMENT_IMAGES"),
    *("INSTANCE.MIN_SCORE", "INSTANCE.OPENING", "INSTANCE.CLOSING"),
    *("MODEL.EINET.CENTER_THRESHOLD", "MODEL.EINET.NMS_KERNEL", "MODEL.EINET.TOP_K", "MODEL.EINET.INSTANCE_SCORE"),
    *("MODEL.PANOPTIC_DEEPLAB.CENTER_THRESHOLD", "MODEL.PANOPTIC_DEEPLAB.NMS_KERNEL"),
    *("MODEL.PANOPTIC_DEEPLAB.TOP_K_INSTANCE", "MODEL.PANOPTIC_DEEPLAB.STUFF_AREA"),
    *("INSTANCE.ORACLE_CURVES", "INSTANCE.ORACLE_PERIOD", "INSTANCE.ORACLE_IMAGES"),
)
"""The list by hand, with the names of then."""

FREE_SINCE = {
    "EVAL.MIN_STUFF_AREA",
    *("DATALOADER.ASPECT_RATIO_GROUPING", "DATALOADER.FILTER_EMPTY_ANNOTATIONS", "DATALOADER.REPEAT_THRESHOLD"),
    *("DATALOADER.SAMPLER_TRAIN", "DATALOADER.RANDOM_SUBSET_RATIO", "DATALOADER.REPEAT_SQRT"),
    *("MODEL.PANOPTIC_DEEPLAB.PREDICT_INSTANCES", "MODEL.PANOPTIC_DEEPLAB.BENCHMARK_NETWORK_SPEED"),
    *("TEST.AUG.ENABLED", "TEST.AUG.FLIP", "TEST.AUG.MAX_SIZE", "TEST.AUG.MIN_SIZES"),
    *("TEST.EXPECTED_RESULTS", "TEST.KEYPOINT_OKS_SIGMAS"),
}
"""Below nodes that are free as a whole; no stage reads them."""

DECIDED_WEIGHTS = tuple(
    f"MODEL.{name}"
    for name in (
        *("META_ARCHITECTURE", "BACKBONE", "RESNETS", "SEM_SEG_HEAD", "BISENET", "EMBEDDING", "EINET"),
        *("INS_EMBED_HEAD", "PANOPTIC_UNET"),
        *("FPN", "ANCHOR_GENERATOR", "ROI_HEADS", "ROI_BOX_HEAD", "ROI_MASK_HEAD", "POINT_HEAD", "DETECTOR.CLASSES"),
    )
)
"""Beginnings of the names of keys that had to be the same to evaluate a finished stage."""

DECIDED_EMBEDDINGS = (
    *("MODEL.META_ARCHITECTURE", "MODEL.BACKBONE", "MODEL.RESNETS", "MODEL.PIXEL_MEAN", "MODEL.PIXEL_STD"),
    *("MODEL.EMBEDDING.IN_FEATURES", "MODEL.EMBEDDING.DECODER_CHANNELS", "MODEL.EMBEDDING.NORM", "MODEL.EMBEDDING.DIM"),
    *("MODEL.EMBEDDING.COORDINATES", "MODEL.EMBEDDING.POSITION_GAIN", "MODEL.EMBEDDING.DELTA_VAR"),
    *("MODEL.EMBEDDING.DELTA_DIST", "MODEL.EMBEDDING.KERNEL_THRESHOLD", "INPUT.FORMAT"),
)
"""The same for networks among which a mix chooses."""


def test_every_key_is_classified() -> None:
    """By a rule and not by the lack of one: a new node must be entered as what it is."""
    assert [key for key in KEYS if stage_rule(key) is None] == []


def test_every_rule_is_about_a_key() -> None:
    newer_detectron2 = {"FLOAT32_PRECISION"}
    names = {*STAGE_RULES, *WEIGHTS, *EMBEDDINGS, *EMBEDDING_LOSS} - newer_detectron2
    assert [name for name in names if not any(f"{key}.".startswith(f"{name}.") for key in KEYS)] == []


def test_what_was_free_is_free() -> None:
    now = {key for key in KEYS if not is_setting_of_a_stage(key)}
    before = {RENAMED.get(key, key) for key in WERE_FREE}
    assert before <= now
    assert now - before <= FREE_SINCE
    assert all(key.startswith("EVAL.") for key in RENAMED.values() if key in now)


@pytest.mark.parametrize("key", ["TEST.EVAL_PERIOD", "TEST.PRECISE_BN.ENABLED", "TEST.DETECTIONS_PER_IMAGE"])
def test_what_reaches_into_training_is_no_matter_of_the_test(key: str) -> None:
    assert is_setting_of_a_stage(key)


@pytest.mark.parametrize("key", ["EVAL", "EVAL.NEW", "EVAL.CENTERS.NEW", "TEST.NEW", "DATALOADER.NEW"])
def test_a_new_key_of_a_free_node_is_free(key: str) -> None:
    assert not is_setting_of_a_stage(key)


@pytest.mark.parametrize("key", ["MODEL.NEW", "INSTANCE.NEW", "NEW.NEW", "EVALUATION", "TESTS.NEW", "inputs.group"])
def test_any_other_new_key_is_a_setting(key: str) -> None:
    assert is_setting_of_a_stage(key)


TIMM = {"MODEL.TIMM.NAME", "MODEL.TIMM.OUT_FEATURES", "MODEL.TIMM.OUTPUT_STRIDE"}
"""Keys that came since."""


def test_what_decided_weights_does() -> None:
    assert {key for key in KEYS if decides_weights(key)} == TIMM | {
        key for key in KEYS if key.startswith(DECIDED_WEIGHTS)
    }


def test_what_decided_embeddings_does() -> None:
    """And the pixels that count as one image height, which the list had forgotten."""
    was = {key for key in (*KEYS, *REMOVED) if key.startswith(DECIDED_EMBEDDINGS)}
    assert {key for key in KEYS if decides_embeddings(key)} == (was - set(REMOVED)) | TIMM | {
        "MODEL.EMBEDDING.POSITION_HEIGHT"
    }


def test_what_decided_a_mix_does() -> None:
    assert {key for key in KEYS if decides_mix(key)} == {"INSTANCE.MIX_FROM", "INSTANCE.MIX_BY"}


@pytest.mark.parametrize("rule", [decides_weights, decides_embeddings, decides_mix])
def test_what_a_network_is_made_of_is_a_setting_of_its_stage(rule: Callable[[str], bool]) -> None:
    assert all(is_setting_of_a_stage(key) for key in KEYS if rule(key))
