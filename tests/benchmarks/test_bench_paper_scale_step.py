"""The paper-scale benchmark runs both steps; here tiny and on the CPU."""

from __future__ import annotations

import bench_paper_scale_step
import pytest
from tiny import CONFIGS


def test_both_steps_run_in_both_precisions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CONFIGS.parent)
    norms = ["MODEL.RESNETS.NORM", "BN", "MODEL.SEM_SEG_HEAD.NORM", "BN"]
    small = ["RECIPE.SEMANTIC_NETWORK", "../networks/cityscapes_deeplabv2_r18.yaml", *norms]
    batch = ["SOLVER.SOURCE_PER_BATCH", "1", "SOLVER.TARGET_PER_BATCH", "1", "INPUT.TARGET_VIEWS", "1"]
    table = bench_paper_scale_step.main("cpu", (64, 128), 1, [*small, *batch]).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]
    assert [row[:3] for row in cells] == [
        ["SAC, DeepLabv2 R101", "float32", "2"],
        ["Panoptic-DeepLab R50", "float32", "2"],
        ["SAC, DeepLabv2 R101", "bfloat16", "2"],
        ["Panoptic-DeepLab R50", "bfloat16", "2"],
    ]
    assert all(float(row[4]) > 0 for row in cells)
