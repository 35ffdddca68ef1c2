"""The clustering benchmarks on tiny clouds and images: what they time agrees, whatever it takes."""

from __future__ import annotations

from itertools import chain, cycle

import bench_clustering
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
from clock import Clock, tables
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


FRAME_BOUND, POINTS_BOUND = "frame in 4.0 s", "262144 points in 1.5 s"
PEER_BOUND = "150 times faster than sklearn, ARI at most 0.005 lower"


@pytest.mark.parametrize(
    ("seconds", "holds"),
    [
        ([0.001], {POINTS_BOUND: "yes", FRAME_BOUND: "yes"}),
        ([2.0], {POINTS_BOUND: "NO", FRAME_BOUND: "yes"}),
        ([5.0], {POINTS_BOUND: "NO", FRAME_BOUND: "NO"}),
    ],
)
def test_tables(
    seconds: list[float], holds: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench_clustering, "time", Clock(cycle(seconds)))
    options = ["--points", "500", "--peer-points", "0", "--frame", "64", "128", "--dims", "4", "--runs", "1"]
    status = main([*options, "--threads", str(torch.get_num_threads())])
    over, frame, bounds = tables(capsys.readouterr().out)
    time = seconds[0]
    assert over["points"] == [*(f"{name}, s" for name in CLUSTERINGS), "mean_shift_plus, us per point"]
    assert over["500"] == [*[f"{time:.4f}"] * len(CLUSTERINGS), f"{1e6 * time / 500:.2f}"]
    assert frame["64x128, 8 masks"] == ["clustering, s", "clean_instances, s", "instances", "ARI"]
    assert all(frame[name][:2] == [f"{time:.3f}"] * 2 and float(frame[name][3]) > 0.3 for name in CLUSTERINGS)
    assert {name: bounds[name] for name in holds} == {name: [held] for name, held in holds.items()}
    assert status == int("NO" in holds.values())


@pytest.mark.parametrize(("ratio", "holds"), [(149.0, "NO"), (151.0, "yes")])
def test_the_bound_beside_scikit_learn(
    ratio: float, holds: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """scikit-learn is timed once, and first."""
    monkeypatch.setattr(bench_clustering, "time", Clock(chain([0.01 * ratio], cycle([0.01]))))
    options = ["--points", "300", "--peer-points", "600", "--frame", "64", "128", "--dims", "4", "--runs", "1"]
    status = main([*options, "--threads", str(torch.get_num_threads())])
    beside, *_, bounds = tables(capsys.readouterr().out)
    assert beside["sklearn MeanShift"][:2] == [f"{0.01 * ratio:.4f}", "1"]
    assert all(beside[name][:2] == ["0.0100", f"{ratio:.0f}"] for name in CLUSTERINGS)
    assert bounds[PEER_BOUND] == [holds]
    assert status == int(holds == "NO")


def test_seconds_over_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """The median of the calls after the first."""
    monkeypatch.setattr(bench_clustering, "time", Clock(cycle([9.0, 1.0, 3.0, 2.0])))
    assert over_points([300, 600], dims=4, runs=3, device="cpu") == [(m, [2.0] * len(CLUSTERINGS)) for m in (300, 600)]


@pytest.mark.parametrize("realistic", [True, False])
def test_a_step_is_timed_with_its_clustering(realistic: bool) -> None:
    sizes = ["INPUT.CROP_SIZE", "(64, 128)", "SOLVER.SOURCE_PER_BATCH", "1", "SOLVER.TARGET_PER_BATCH", "2"]
    cfg = small("selftrain_icm.yaml", *sizes)
    step = Step(cfg, "car", crowded_batch(cfg, thing=13), realistic)
    total, clustering = step()
    assert 0 < clustering < total
    assert step.num_instances > 0 or not realistic
