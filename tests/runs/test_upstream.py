"""On which finished runs a stage is built: its start, its masks, its guidance, and what a mix chooses from."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from ptseg_d2.recipe.configs import load_recipe
from ptseg_d2.runs.done import DONE
from ptseg_d2.runs.upstream import built_on
from ptseg_d2.stages import StageRun

import pytest
from tiny import CONFIGS


def finish(*folders: Path) -> None:
    """Each gets its own name as identity."""
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / DONE).write_text(json.dumps({"id": f"id of {folder.name}"}))


@pytest.fixture
def runs(tmp_path: Path) -> dict[str, StageRun]:
    """The main recipe with two rounds: own stages in `out`, needed ones in `shared`."""
    folders = ["OUTPUT_DIR", str(tmp_path / "out"), "RECIPE.NEEDS_DIR", str(tmp_path / "shared")]
    return {run.name: run for run in load_recipe(CONFIGS / "selftrain_icm.yaml", [*folders, "RECIPE.ROUNDS", "2"])}


def test_a_run_is_built_on_its_start_and_on_who_made_its_masks(tmp_path: Path, runs: dict[str, StageRun]) -> None:
    shared = tmp_path / "shared"
    car = runs["instance_selftrain"].of_group(["car"])
    assert built_on(car) == {}  # nothing is finished
    finish(shared / "instance_adapted", shared / "semantic_source")
    assert built_on(car) == {"instance_adapted": "id of instance_adapted"}
    finish(shared / "semantic_selftrain")
    assert built_on(car) == {
        "instance_adapted": "id of instance_adapted",
        "semantic_selftrain": "id of semantic_selftrain",
    }
    assert built_on(runs["semantic_adapted"]) == {"semantic_source": "id of semantic_source"}


def test_a_group_of_a_shared_stage_is_named_by_stage_and_group(tmp_path: Path) -> None:
    options = ["OUTPUT_DIR", str(tmp_path / "out"), "RECIPE.NEEDS_DIR", str(tmp_path)]
    run = load_recipe(CONFIGS / "instance" / "ccm_25.yaml", options)[-1].of_group(["person", "rider"])
    finish(tmp_path / "instance_adapted" / "person+rider", tmp_path / "instance_adapted" / "bicycle+motorcycle")
    assert built_on(run) == {"instance_adapted/person+rider": "id of person+rider"}


def test_a_guided_stage_is_built_on_the_groups_that_found_its_instances(
    tmp_path: Path, runs: dict[str, StageRun]
) -> None:
    finish(tmp_path / "shared" / "semantic_selftrain")
    finish(*(tmp_path / "out" / "instance_selftrain" / name for name in ("car", "bus")))
    guided = runs["semantic_selftrain_round2"]
    start = {"semantic_selftrain": "id of semantic_selftrain"}
    assert built_on(guided) == {**start, "bus": "id of bus", "car": "id of car"}
    by_labels = dataclasses.replace(guided.inputs, guidance=str(tmp_path / "out" / "oracle_guidance" / "index.json"))
    assert built_on(dataclasses.replace(guided, inputs=by_labels)) == start
    assert built_on(runs["instance_selftrain_round2"].of_group(["car"])) == {"car": "id of car"}


def test_a_mix_is_built_on_all_that_it_chooses_from(tmp_path: Path) -> None:
    """Two runs with groups of the same name, so that only the whole path tells them apart."""
    folders = [tmp_path / name / "instance_selftrain" for name in ("icm_0", "icm_25")]
    finish(*(folder / "car" for folder in folders), folders[0] / "bus")
    options = ["INSTANCE.MIX_FROM", str([str(folder) for folder in folders]), "OUTPUT_DIR", str(tmp_path / "out")]
    mix = load_recipe(CONFIGS / "instance" / "mix.yaml", [*options, "RECIPE.NEEDS_DIR", str(tmp_path / "shared")])[-1]
    assert built_on(mix) == {
        f"{folders[0]}/bus": "id of bus",
        f"{folders[0]}/car": "id of car",
        f"{folders[1]}/car": "id of car",
    }
