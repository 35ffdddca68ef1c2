"""The post-processing benchmark on a small street: what it times finds the drawn objects."""

from __future__ import annotations

import pytest
import torch
from bench_post_processing import main, post_processing, street
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


def test_tables_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    threads = str(torch.get_num_threads())
    assert main(["--size", "64", "128", "--runs", "1", "--threads", threads, *NARROW]) in (0, 1)
    printed = capsys.readouterr().out
    assert "semantic and 8 instance networks" in printed and "less than the networks of the config" in printed
