"""Among which networks the classes of a mix choose, and which runs may not be mixed."""

from __future__ import annotations

from pathlib import Path

from ptseg_d2.errors import RecipeError
from ptseg_d2.recipe.checks import check_stages
from ptseg_d2.recipe.configs import load_recipe
from ptseg_d2.recipe.groups import parts_of
from ptseg_d2.recipe.mix_candidates import read_candidates
from ptseg_d2.runs.records import run_once
from ptseg_d2.stages import StageRun

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
