"""The dense form in benchmarks/bench_embedding_loss.py and our loss agree."""

from __future__ import annotations

import bench_embedding_loss
import pytest
from bench_embedding_loss import Problem, differences, scene


@pytest.mark.parametrize("instances", [2, 7])
def test_values_and_gradients_agree(instances: int) -> None:
    value, gradient = differences(Problem(24, 40, 6, instances, "cpu"))
    assert value < bench_embedding_loss.VALUE_TOLERANCE
    assert gradient < bench_embedding_loss.GRADIENT_TOLERANCE


def test_the_scene_has_everything() -> None:
    embeddings, ids = scene(Problem(24, 40, 6, 5, "cpu"))
    assert embeddings.shape == (6, 24, 40)
    assert ids.unique().tolist() == [-1, 0, 1, 2, 3, 4, 5]
    assert 0.4 < (ids > 0).float().mean() < 0.6


def test_tables(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = "--size 16 32 --dims 4 --instances 3 --runs 1".split()
    assert bench_embedding_loss.main(arguments) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert [row.split("|")[1].strip() for row in rows if "---" not in row] == [
        *("", "time, ms", "extra memory, MB"),
        *("size, instances", "8x16, 3", "8x32, 3", "16x32, 3"),
        *("16x32, 10", "16x32, 20", "16x32, 40", "16x32, 80"),
    ]
