"""The parts that benchmarks/bench_semantic_step.py times do run."""

from __future__ import annotations

from bench_semantic_step import parts_of_a_step
from tiny import small


def test_each_part_runs_once() -> None:
    sizes = ["INPUT.CROP_SIZE", "(32, 64)", "SOLVER.SOURCE_PER_BATCH", "2", "SOLVER.TARGET_PER_BATCH", "1"]
    parts = parts_of_a_step(small("semantic_selftrain.yaml", *sizes))
    assert {"step", "student", "teacher"} < parts.keys()
    for work in parts.values():
        work()
