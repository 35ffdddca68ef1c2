"""The Detectron2 evaluator over many processes: the same results, to the bit, however the images are split."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ptseg_d2.data.datasets import panoptic_metadata
from ptseg_d2.evaluation import evaluators
from ptseg_d2.evaluation.evaluators import PanopticEvaluator

import numpy as np
import pytest
import torch
import torch.distributed as dist
from detectron2.data import MetadataCatalog
from references_evaluation import DATASET, random_output, scores_of
from torch import multiprocessing


@pytest.mark.parametrize("seed", range(3))
def test_any_split_over_processes_gives_the_same_bits(
    entries: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    outputs = [random_output(i) for i in range(4)]
    whole, *parts = (PanopticEvaluator(DATASET, bootstrap=50) for _ in range(4))
    whole.process(entries, outputs)
    expected = scores_of(whole)
    for index in rng.permutation([0, 1, 2, 3, 2]):  # a padded sampler brings image 2 twice
        parts[rng.integers(3)].process([entries[index]], [outputs[index]])
    states: list[Any] = []

    def gather(state: Any) -> list[Any]:
        states.append(state)
        return states

    monkeypatch.setattr(evaluators.comm, "gather", gather)
    monkeypatch.setattr(evaluators.comm, "is_main_process", lambda: len(states) == 3)
    assert parts[2].evaluate() is None and parts[1].evaluate() is None
    assert scores_of(parts[0]) == expected
    assert parts[0].details == whole.details


def one_process(rank: int, folder: str, entries: list[dict[str, str]]) -> None:
    """Every second image; the main process leaves its results in the folder."""
    torch.set_num_threads(1)
    MetadataCatalog.get(DATASET).set(**panoptic_metadata())
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    evaluator = PanopticEvaluator(DATASET)
    evaluator.process(entries[1 - rank :: 2], [random_output(i) for i in range(4)][1 - rank :: 2])
    results = evaluator.evaluate()
    if rank == 0:
        (Path(folder) / "results.json").write_text(json.dumps([results, evaluator.details]))
    assert (results is None) == (rank == 1)
    dist.destroy_process_group()


@pytest.mark.skipif(not dist.is_available(), reason="torch was built without distributed")
def test_two_processes_give_the_same_bits(entries: list[dict[str, str]], tmp_path: Path) -> None:
    multiprocessing.spawn(one_process, (str(tmp_path), entries), nprocs=2)
    alone = PanopticEvaluator(DATASET)
    alone.process(entries, [random_output(i) for i in range(4)])
    results = scores_of(alone)
    assert json.loads((tmp_path / "results.json").read_text()) == [results, alone.details]
