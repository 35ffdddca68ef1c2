"""MIX: which network each class takes, by hand, and which runs may be mixed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ptseg_d2.classes.streets import CITYSCAPES
from ptseg_d2.errors import RecipeError
from ptseg_d2.recipe.checks import check_stages
from ptseg_d2.recipe.configs import load_recipe
from ptseg_d2.recipe.groups import parts_of
from ptseg_d2.recipe.mix import Scores, best_of_each_class, mean_stability, score_by_labels
from ptseg_d2.recipe.mix_candidates import Candidate, read_candidates
from ptseg_d2.results.rows import ResultRows
from ptseg_d2.runs.records import run_once
from ptseg_d2.runs.upstream import built_on
from ptseg_d2.stages import STAGES, StageRun

import pytest
from tiny import CONFIGS

INSTANCE = CONFIGS / "instance"
ALONE = ["RECIPE.NEEDS", "[]", "RECIPE.INIT_FROM", "", "RECIPE.MASKS_FROM", ""]


def finish(config: str, output: Path, *overrides: str, groups: int | None = None) -> str:
    """Pretend that the self-training of a config is finished; returns its folder."""
    run = load_recipe(INSTANCE / f"{config}.yaml", [*ALONE, "OUTPUT_DIR", str(output), *overrides])[-1]
    for group in parts_of(run)[:groups]:
        run_once(group, lambda run: None)
    return str(run.folder)


def mix(*runs: str, overrides: tuple[str, ...] = ()) -> StageRun:
    return load_recipe(INSTANCE / "mix.yaml", [*ALONE, "INSTANCE.MIX_FROM", str(list(runs)), *overrides])[-1]


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


def test_candidates_are_the_groups_of_all_runs(tmp_path: Path) -> None:
    runs = [finish("all_0", tmp_path / "all_0"), finish("base_25", tmp_path / "base_25")]
    found = read_candidates(mix(*runs))
    assert [(candidate.run, candidate.group) for candidate in found] == [
        (runs[0], "all"),
        *((runs[1], name) for name in ("bicycle+motorcycle", "car+bus+truck+train", "person+rider")),
    ]
    assert len(found[0].classes) == 8 and found[3].classes == ("person", "rider")


def test_runs_that_cannot_be_mixed_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="MIX_FROM is empty"):
        read_candidates(mix())
    with pytest.raises(RecipeError, match="nowhere holds no finished group"):
        read_candidates(mix(str(tmp_path / "nowhere")))
    partly = finish("base_25", tmp_path / "partly", groups=2)
    with pytest.raises(RecipeError, match="partly/instance_selftrain is not finished: 2 of its 3 groups"):
        read_candidates(mix(partly))
    finish("all_0", tmp_path / "partly")
    with pytest.raises(RecipeError, match="runs with different INSTANCE.GROUPS"):
        read_candidates(mix(partly))
    wide = finish("all_0", tmp_path / "wide", "MODEL.EMBEDDING.DIM", "9")
    with pytest.raises(RecipeError, match=r"other embeddings .*\(MODEL\.EMBEDDING\.DIM was 9, is 8\)"):
        check_stages([mix(wide)], 1)  # before the first stage


def test_weights_of_the_losses_do_not_keep_runs_apart(tmp_path: Path) -> None:
    read_candidates(mix(finish("all_0", tmp_path, "MODEL.EMBEDDING.EPSILON", ".2", "SOLVER.BASE_LR", ".1")))


def test_a_mix_is_built_on_its_runs(tmp_path: Path) -> None:
    run = finish("all_0", tmp_path)
    assert list(built_on(mix(run))) == [f"{run}/all"]


def test_a_choice_by_labels_reads_them_from_the_results_and_says_so(tmp_path: Path) -> None:
    run = mix("a", overrides=("INSTANCE.MIX_BY", "oracle"))
    rows = [ResultRows(one.cfg, [one]).row_of(STAGES["instance_mix"]) for one in (run, mix("a"))]
    assert [(row.name, row.reads_labels) for row in rows] == [("mix_oracle", True), ("mix", False)]
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
