"""The post-processing benchmark on a small street: what it times finds the drawn objects."""

from __future__ import annotations

from itertools import chain, repeat

import bench_post_processing
import pytest
import torch
from bench_post_processing import main, post_processing, street
from clock import Clock, tables
from tiny import NARROW, small


def test_a_street_of_stuff_and_objects() -> None:
    logits, embeddings, instance_ids = street((128, 256), dims=8)
    assert logits.shape == (19, 128, 256) and embeddings.shape == (8, 128, 256)
    assert 25 <= len(instance_ids.unique()) - 1 <= 30
    classes = logits.argmax(0)
    assert len(classes.unique()) == 19
    assert (classes[instance_ids > 0] >= 11).float().mean() > 0.9  # but for the borders


def test_objects_are_found_again() -> None:
    whole, parts, segments, num_objects = post_processing((256, 512), small("selftrain_icm.yaml"), runs=1)
    assert list(parts) == ["classes", "clustering", "repair", "stability", "merging"]
    assert 0 < whole.clock and all(timing.clock > 0 for timing in parts.values())
    assert sum(segment["isthing"] for segment in segments) > num_objects / 2


@pytest.mark.parametrize(
    ("whole", "holds", "status"),
    [(0.1, ["yes", "yes", "yes"], 0), (0.5, ["yes", "yes", "NO"], 0), (6.0, ["NO", "NO", "NO"], 1)],
)
def test_tables(
    whole: float,
    holds: list[str],
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The whole is timed first, then its parts, the eight things one by one, and a network of each kind: .1 s each."""
    monkeypatch.setattr(bench_post_processing, "time", Clock(chain([0.0, whole], repeat(0.1))))
    threads = str(torch.get_num_threads())
    assert main(["--size", "64", "128", "--runs", "1", "--threads", threads, *NARROW]) == status
    printed = capsys.readouterr().out
    times, bounds = tables(printed)
    expected = {
        "post-processing": whole,
        **{"- classes": 0.1, "- clustering": 0.8, "- repair": 0.8, "- stability": 0.8, "- merging": 0.1},
        **{"semantic network": 0.1, "an instance network": 0.1, "semantic and 8 instance networks": 0.9},
    }
    assert list(times)[2:] == list(expected)
    for row, seconds in expected.items():
        assert [float(cell) for cell in times[row]] == pytest.approx([seconds, seconds / 2, whole / seconds], abs=0.006)
    names = ("post-processing in 5 s", "less than the networks of the config", "less than one network of each kind")
    assert [bounds[name] for name in names] == [[held] for held in holds]
    assert printed.startswith(f"64x128, {threads} CPU threads, median of 1, torch")
