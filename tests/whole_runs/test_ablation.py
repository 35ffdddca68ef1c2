"""Every row of the ablation trains with one command, and so does FDA's chain of three networks and one more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import predict_masks
import pytest
import train_net
from tiny import CONFIGS, TINY

ROWS = {
    "none": ["source"],
    "aug1": ["source"],
    "aug2": ["source"],
    "aug12": ["source"],
    "fda": ["styled"],
    "fda_entropy": ["selftrain"],
    "dacs": ["selftrain"],
    "sac": ["source", "adapted", "selftrain"],
    "sac_rcs_mic": ["source", "adapted", "selftrain"],
}


def train(name: str, folder: Path, *overrides: str) -> dict[str, Any]:
    """The "semantic" section of a tiny run of configs/ablation/<name>.yaml."""
    options = [*TINY, "EVAL.NUM_PICTURES", "0", "SOLVER.TARGET_PER_BATCH", "2", "OUTPUT_DIR", str(folder), *overrides]
    path = str(CONFIGS / "ablation" / f"{name}.yaml")
    train_net.main(train_net.build_parser().parse_args(["--config-file", path, *options]))
    results: dict[str, Any] = json.loads((folder / "results.json").read_text())["semantic"]
    return results


@pytest.mark.parametrize("name", ROWS)
def test_row_trains_and_is_scored(name: str, world: Path, tmp_path: Path) -> None:
    results = train(name, tmp_path / "out")
    assert list(results) == ROWS[name]
    assert all(isinstance(row["mIoU16"], float) for row in results.values())


@pytest.mark.parametrize("network", ["bisenet", "deeplabv2", "deeplabv3"])
def test_network_is_a_switch_of_every_row(network: str, world: Path, tmp_path: Path) -> None:
    widths = [
        "MODEL.BISENET.SPATIAL_CHANNELS",
        "[4, 4, 8]",
        "MODEL.RESNETS.DEPTH",
        "50" if network != "bisenet" else "10",
    ]
    results = train("dacs", tmp_path / "out", "RECIPE.SEMANTIC_NETWORK", f"../networks/{network}.yaml", *widths)
    assert list(results) == ["selftrain"]


def test_multi_band_transfer(world: Path, tmp_path: Path) -> None:
    weights = []
    for beta in ("0.01", "0.05"):
        train("fda", tmp_path / beta, "INPUT.FDA_BETA", beta)
        weights.append(str(tmp_path / beta / "semantic_styled" / "model_final.pth"))
    arguments = ["--config-file", str(CONFIGS / "ablation" / "fda.yaml"), "--weights", *weights]
    arguments += ["--output", str(tmp_path / "masks"), "--quantile", "0.66", "--opts", *TINY]
    predict_masks.main(predict_masks.build_parser().parse_args(arguments))
    results = train("fda_multiband", tmp_path / "out", "INPUT.PREDICTED_MASKS", str(tmp_path / "masks" / "index.json"))
    assert list(results) == ["selftrain"]
