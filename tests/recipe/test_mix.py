"""MIX: which network each class takes, by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ptseg_d2.classes.streets import CITYSCAPES
from ptseg_d2.errors import RecipeError
from ptseg_d2.recipe.configs import load_recipe
from ptseg_d2.recipe.mix import Scores, best_of_each_class, mean_stability, score_by_labels
from ptseg_d2.recipe.mix_candidates import Candidate

import pytest
from tiny import CONFIGS


def test_each_class_takes_the_highest_value() -> None:
    one = Candidate("a/instance_selftrain", "car+bus", ("car", "bus"))
    other = Candidate("b/instance_selftrain", "all", ("car", "bus", "train"))
    nothing = {"value": None, "instances": 0}
    scores: list[Scores] = [
        {"car": {"value": 0.7, "instances": 3}, "bus": nothing},
        {"car": {"value": 0.8, "instances": 2}, "bus": nothing, "train": nothing},
    ]
    choice = best_of_each_class([one, other], scores, CITYSCAPES)
    assert {name: (best["run"], best["group"]) for name, best in choice.items()} == {
        "car": other.place,
        "bus": one.place,  # nobody found one: the first run that has the class
        "train": other.place,
    }
    assert choice["car"]["scores"]["a/instance_selftrain"] == {"value": 0.7, "instances": 3}


def test_a_value_of_zero_beats_none() -> None:
    runs = [Candidate(name, "bus", ("bus",)) for name in "ab"]
    scores: list[Scores] = [{"bus": {"value": None}}, {"bus": {"value": 0.0}}]
    assert best_of_each_class(runs, scores, CITYSCAPES)["bus"]["run"] == "b"


def test_a_mask_without_instances_counts_as_one_0() -> None:
    """Four masks: one stable find does not beat hundreds; without a mask there is nothing to compare."""
    assert mean_stability([[1.0], [], [], []]) == {"value": 0.25, "instances": 1}
    assert mean_stability([[0.5, 0.75], [0.25], [0.5], [0.5]]) == {"value": 0.5, "instances": 5}
    assert mean_stability([[], []]) == {"value": 0.0, "instances": 0}
    assert mean_stability([]) == {"value": None, "instances": 0}


def test_a_choice_by_labels_reads_them_from_the_results(tmp_path: Path) -> None:
    overrides = ["RECIPE.NEEDS", "[]", "RECIPE.MASKS_FROM", "", "INSTANCE.MIX_BY", "oracle"]
    run = load_recipe(CONFIGS / "instance" / "mix.yaml", overrides)[-1]
    candidate = Candidate(str(tmp_path / "instance_selftrain"), "car", ("car",))
    with pytest.raises(RecipeError, match="--eval-only first"):
        score_by_labels(run, candidate)
    row = {"per_class": {"car": {"AP50": 42.5}, "bus": {"AP50": 1.0}}}
    results: dict[str, Any] = {"datasets": {"test": list(run.cfg.DATASETS.TEST)}, "instance": {"selftrain": row}}
    (tmp_path / "results.json").write_text(json.dumps(results))
    assert score_by_labels(run, candidate) == {"car": {"value": 42.5}}
    results["datasets"]["test"] = ["another"]
    (tmp_path / "results.json").write_text(json.dumps(results))
    with pytest.raises(RecipeError, match="which does not hold it"):
        score_by_labels(run, candidate)
