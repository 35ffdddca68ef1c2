"""The clustering benchmarks on tiny clouds and images: what they time agrees, whatever it takes."""

from __future__ import annotations

import pytest
import torch
from bench_clustering import (
    CLUSTERINGS,
    MAX_LOSS,
    agreement,
    beside_scikit_learn,
    crowded_frame,
    main,
    over_points,
    touching_cloud,
    whole_frame,
)
from bench_instance_step import Step, crowded_batch
from tiny import small


def test_clouds_touch_and_are_unequal() -> None:
    cloud = touching_cloud(4000, dims=16, num_clusters=10)
    sizes = cloud.truth.bincount()
    assert sizes.max() > 10 * sizes.min() > 0
    assert (~cloud.inner).float().mean() == pytest.approx(0.04, abs=0.001)
    centers = torch.stack([cloud.points[cloud.inner & (cloud.truth == k)].mean(0) for k in range(10)])
    nearest = torch.cdist(centers, centers).fill_diagonal_(torch.inf).min(0).values
    assert 2.4 < nearest.min() and nearest.max() < 3.4
    assert agreement(cloud.truth, cloud) == (1.0, 1.0)


def test_ours_agrees_with_the_truth_as_scikit_learn_does() -> None:
    rows, _ = beside_scikit_learn(1500, dims=8, runs=1, device="cpu")
    scores = {row[0]: (float(row[-2]), float(row[-1])) for row in rows}
    assert scores.keys() == {"sklearn MeanShift", *CLUSTERINGS}
    for ours, peer in zip(scores["mean_shift_plus"], scores["sklearn MeanShift"]):
        assert ours >= peer - MAX_LOSS


def test_frame_of_eight_masks() -> None:
    embeddings, sem_seg, instance_ids = crowded_frame((32, 64), dims=4, per_mask=3)
    assert embeddings.shape == (4, 32, 64)
    assert sem_seg.unique().tolist() == list(range(8))
    assert instance_ids.unique().tolist() == list(range(1, 25))
    rows, seconds = whole_frame((128, 256), dims=8, runs=1, device="cpu")
    assert [row[0] for row in rows] == list(CLUSTERINGS) and seconds > 0
    assert float(rows[0][-1]) > 0.7  # at this size every fifth pixel lies on a border


def test_tables_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    threads = torch.get_num_threads()
    options = ["--points", "500", "--peer-points", "0", "--frame", "64", "128", "--dims", "4", "--runs", "1"]
    assert main([*options, "--threads", str(threads)]) in (0, 1)
    assert "64x128, 8 masks" in capsys.readouterr().out
    assert [points for points, _ in over_points([300, 600], dims=4, runs=1, device="cpu")] == [300, 600]


@pytest.mark.parametrize("realistic", [True, False])
def test_a_step_is_timed_with_its_clustering(realistic: bool) -> None:
    sizes = ["INPUT.CROP_SIZE", "(64, 128)", "SOLVER.SOURCE_PER_BATCH", "1", "SOLVER.TARGET_PER_BATCH", "2"]
    cfg = small("selftrain_icm.yaml", *sizes)
    step = Step(cfg, "car", crowded_batch(cfg, thing=13), realistic)
    total, clustering = step()
    assert 0 < clustering < total
    assert step.num_instances > 0 or not realistic
