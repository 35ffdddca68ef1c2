"""Which rows a recipe has, the stages behind each, and how its rounds and labels of the target show in the names."""

from __future__ import annotations

import json
from pathlib import Path

from ptseg_d2.errors import RecipeError
from ptseg_d2.recipe.configs import load_config, load_recipe
from ptseg_d2.recipe.rounds import agreement_basis, agreement_file, rounds_of
from ptseg_d2.results.rows import ResultRows

import pytest
from tiny import CONFIGS

ADAPTED = ("semantic_selftrain", "instance_selftrain")
SOURCE = ("semantic_source", "instance_source")
ORACLE_GUIDANCE = [
    *("RECIPE.ROUNDS", "2", "RECIPE.GUIDANCE", "ground_truth"),
    *("RECIPE.ORACLE_GUIDANCE", "miniscapes_cityscapes_labeled_train"),
]


def rows_of_recipe(config: str, *overrides: str) -> ResultRows:
    return ResultRows(load_config(CONFIGS / config, overrides), load_recipe(CONFIGS / config, overrides))


@pytest.mark.parametrize(
    ("config", "overrides", "expected"),
    [
        ("selftrain_icm.yaml", [], {"source": SOURCE, "selftrain": ADAPTED}),
        ("oracle.yaml", [], {"oracle": SOURCE}),
        ("instance/mix.yaml", [], {"mix": ("semantic_selftrain", "instance_mix")}),
        ("instance/mix.yaml", ["INSTANCE.MIX_BY", "oracle"], {"mix_oracle": ("semantic_selftrain", "instance_mix")}),
        ("semantic_selftrain.yaml", [], {}),
    ],
)
def test_the_two_stages_behind_a_row(
    config: str, overrides: list[str], expected: dict[str, tuple[str, str]], tmp_path: Path
) -> None:
    rows = rows_of_recipe(config, *overrides, "OUTPUT_DIR", str(tmp_path))
    assert {row.name: rows.pairs()[row] for row in rows.panoptic_rows()} == expected


def test_networks_that_do_everything_alone_have_one_stage(tmp_path: Path) -> None:
    rows = rows_of_recipe("einet_selftrain.yaml", "OUTPUT_DIR", str(tmp_path))
    stages = {"source": "panoptic_source", "adapted": "panoptic_adapted", "selftrain": "panoptic_selftrain"}
    assert {row.name: stage for row, stage in rows.unified().items()} == stages
    assert [row.name for row in rows.panoptic_rows()] == list(stages)


def test_a_row_by_name(tmp_path: Path) -> None:
    rows = rows_of_recipe("selftrain_icm.yaml", "OUTPUT_DIR", str(tmp_path))
    assert [rows.panoptic_row(name, "out").name for name in ("source", None)] == ["source", "selftrain"]
    with pytest.raises(RecipeError, match="out has no panoptic row 'mix'; it has: source, selftrain"):
        rows.panoptic_row("mix", "out")
    with pytest.raises(RecipeError, match=r"one\.yaml trains one branch only"):
        rows_of_recipe("semantic_source.yaml", "OUTPUT_DIR", str(tmp_path)).panoptic_row(None, "one.yaml")


@pytest.mark.parametrize(
    ("agreements", "mark", "kept"), [([50.0, 51.0], "_oracle_guidance", 2), ([50.0, 49.0], "", 1), ([50.0], "", 1)]
)
def test_what_true_instances_have_guided_says_so_in_its_name(
    agreements: list[float], mark: str, kept: int, tmp_path: Path
) -> None:
    options = [*ORACLE_GUIDANCE, "OUTPUT_DIR", str(tmp_path)]
    for pair, agreement in zip(rounds_of(load_recipe(CONFIGS / "selftrain_icm.yaml", options)), agreements):
        agreement_file(pair).parent.mkdir()
        agreement_file(pair).write_text(json.dumps({"agreement": agreement, "basis": agreement_basis(pair)}))
    rows = rows_of_recipe("selftrain_icm.yaml", *options)
    rounds = ["selftrain_round1", "selftrain_oracle_guidance_round2"] if len(agreements) > 1 else []
    assert [row.name for row in rows.panoptic_rows()] == ["source", *rounds, f"selftrain{mark}"]
    assert rows.final[0] == ("semantic_selftrain" if kept == 1 else "semantic_selftrain_round2")
