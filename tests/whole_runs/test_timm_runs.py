"""Networks of timm through a whole semantic recipe: trained, resumed, evaluated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ptseg_d2.training.trainer import Trainer

import pytest
import torch
import train_net
from tiny import CONFIGS, TINY

NETWORKS = {
    "efficientnet": [],
    "convnext": [
        *("MODEL.TIMM.NAME", "convnext_atto", "MODEL.TIMM.WEIGHTS", "", "MODEL.TIMM.OUTPUT_STRIDE", "32"),
        *("MODEL.TIMM.OUT_FEATURES", "['res2', 'res5']", "MODEL.TIMM.DROP_PATH", "0.1"),
    ],
}


def run(folder: Path, network: str, *flags: str) -> dict[str, Any]:
    """The "semantic" section of results.json."""
    options = [*TINY, "MODEL.SEM_SEG_HEAD.LOW_LEVEL_CHANNELS", "[4]", "MODEL.SEM_SEG_HEAD.DECODER_CHANNELS", "[8]"]
    options += ["RECIPE.SEMANTIC_NETWORK", "networks/efficientnet_lite0.yaml", *NETWORKS[network]]
    options += ["SOLVER.TARGET_PER_BATCH", "2", "EVAL.NUM_PICTURES", "0", "OUTPUT_DIR", str(folder)]
    command = ["--config-file", str(CONFIGS / "semantic_selftrain.yaml"), *flags, *options]
    train_net.main(train_net.parse_arguments(command))
    results: dict[str, Any] = json.loads((folder / "results.json").read_text())["semantic"]
    return results


@pytest.mark.parametrize("network", NETWORKS)
def test_a_killed_run_ends_as_one_that_was_not(
    network: str, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = run(tmp_path / "whole", network)
    assert list(expected) == ["source", "adapted", "selftrain"]
    after_step = Trainer.after_step

    def kill(self: Trainer) -> None:
        after_step(self)
        if self.cfg.OUTPUT_DIR.endswith("semantic_selftrain") and self.iter == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "after_step", kill)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "killed", network)
    assert run(tmp_path / "killed", network, "--resume") == expected
    assert run(tmp_path / "killed", network, "--eval-only") == expected
    weights = [
        torch.load(tmp_path / name / "semantic_selftrain" / "model_final.pth", weights_only=True)["model"]
        for name in ("whole", "killed")
    ]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
