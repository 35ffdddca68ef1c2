"""Configs of this repository, made small enough for tests."""

from __future__ import annotations

from pathlib import Path

from ptseg_d2.recipe.configs import load_config

from detectron2.config import CfgNode

CONFIGS = Path(__file__).parents[2] / "configs"

NARROW = [
    *("MODEL.RESNETS.DEPTH", "10", "MODEL.RESNETS.STEM_OUT_CHANNELS", "8", "MODEL.RESNETS.RES2_OUT_CHANNELS", "16"),
    *("MODEL.SEM_SEG_HEAD.CONVS_DIM", "8", "MODEL.SEM_SEG_HEAD.LOW_LEVEL_CHANNELS", "[4, 4]"),
    *("MODEL.SEM_SEG_HEAD.DECODER_CHANNELS", "[8, 8]", "MODEL.EMBEDDING.DECODER_CHANNELS", "[4, 8, 8, 8]"),
    *("MODEL.BFLOAT16", "False"),
]
"""Overrides for very narrow networks.

No fewer than 8 channels before a strided 1x1 convolution: on CPUs with AVX2 but without AVX512, oneDNN of torch 2.12
writes beyond the gradient of fewer.
"""

TINY = [
    *NARROW,
    *("INPUT.CROP_SIZE", "(64, 128)", "SOLVER.MAX_ITER", "3", "SOLVER.CHECKPOINT_PERIOD", "2"),
    *("SOLVER.SOURCE_PER_BATCH", "2", "SOLVER.WARMUP_ITERS", "1", "EVAL.NUM_PICTURES", "2"),
    *("INSTANCE.GROUPS", "[['car'], ['person', 'rider']]"),
    *("EVAL.REPORT", "False", "EVAL.PSEUDO_LABEL_PICTURES", "0", "EVAL.BOOTSTRAP", "20"),
]
"""Overrides that make any small recipe run in seconds."""


def small(name: str, *overrides: str) -> CfgNode:
    """A config of the repository with very narrow networks."""
    return load_config(CONFIGS / name, [*NARROW, *overrides])
