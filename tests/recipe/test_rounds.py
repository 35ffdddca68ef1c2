"""Rounds of self-training: which stages, which masks guide them, when they end."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from ptseg_d2.classes.streets import THING_IDS
from ptseg_d2.data.dataset_dicts import target_dicts
from ptseg_d2.errors import RecipeError
from ptseg_d2.recipe.configs import load_config, load_recipe
from ptseg_d2.recipe.rounds import (
    agreement_file,
    best_round,
    read_agreement,
    rounds_of,
    tried_rounds,
)
from ptseg_d2.recipe.runner import run_stages
from ptseg_d2.results.rows import ResultRows
from ptseg_d2.runs.settings import settings
from ptseg_d2.runs.upstream import built_on
from ptseg_d2.stages import StageRun

import cv2
import numpy as np
import pytest
from detectron2.config import CfgNode
from tiny import CONFIGS, TINY

RECIPE = CONFIGS / "selftrain_icm.yaml"
ORACLE = ["RECIPE.GUIDANCE", "ground_truth", "RECIPE.ORACLE_GUIDANCE", "miniscapes_cityscapes_labeled_train"]


def three_rounds(*overrides: str) -> dict[str, StageRun]:
    runs = load_recipe(RECIPE, ["RECIPE.ROUNDS", "3", "OUTPUT_DIR", "out", "RECIPE.NEEDS_DIR", "shared", *overrides])
    return {run.name: run for run in runs}


def test_each_round_starts_from_the_last() -> None:
    stages = three_rounds()
    assert list(stages)[4:] == [
        *("instance_adapted", "instance_selftrain"),
        *("semantic_selftrain_round2", "instance_selftrain_round2"),
        *("semantic_selftrain_round3", "instance_selftrain_round3"),
    ]
    later = [run.of_group(["car"]) if run.has_groups else run for run in list(stages.values())[6:]]
    chain = [(run.cfg.MODEL.WEIGHTS, run.inputs.masks, run.inputs.guidance) for run in later]
    masks, guidance = "target_masks/index.json", "target_guidance/index.json"
    group = "car/model_final.pth"
    assert chain == [
        (
            "shared/semantic_selftrain/model_final.pth",
            f"shared/semantic_selftrain/{masks}",
            f"out/instance_selftrain/{guidance}",
        ),
        (f"out/instance_selftrain/{group}", f"out/semantic_selftrain_round2/{masks}", ""),
        (
            "out/semantic_selftrain_round2/model_final.pth",
            f"out/semantic_selftrain_round2/{masks}",
            f"out/instance_selftrain_round2/{guidance}",
        ),
        (f"out/instance_selftrain_round2/{group}", f"out/semantic_selftrain_round3/{masks}", ""),
    ]
    assert [str(run.folder) for run in stages.values()][-1] == "out/instance_selftrain_round3"


def test_guidance_can_be_left_out_or_read_from_labels() -> None:
    assert three_rounds("RECIPE.GUIDANCE", "none")["semantic_selftrain_round2"].inputs.guidance == ""
    masks = {run.inputs.guidance for name, run in three_rounds(*ORACLE).items() if name.startswith("semantic")}
    assert masks == {"", "out/oracle_guidance/index.json"}


def test_the_share_of_true_instances_is_a_setting_of_the_stages_that_it_guides(tmp_path: Path) -> None:
    stages = three_rounds(*ORACLE, "OUTPUT_DIR", str(tmp_path))
    key = "RECIPE.ORACLE_GUIDANCE_SHARE"
    guided = [name for name, run in stages.items() if key in settings(run)]
    assert guided == ["semantic_selftrain_round2", "semantic_selftrain_round3"]
    done = tmp_path / "semantic_selftrain_round2" / "done.json"
    done.parent.mkdir()
    done.write_text(json.dumps({"id": "a stage is not built on itself"}))
    assert built_on(stages["semantic_selftrain_round2"]) == {}


@pytest.mark.parametrize(
    ("config", "overrides", "message"),
    [
        ("selftrain_icm.yaml", ["RECIPE.ROUNDS", "0"], "RECIPE.ROUNDS = 0; expected 1 or more"),
        ("semantic_selftrain.yaml", ["RECIPE.ROUNDS", "2"], "but this recipe has only semantic_source, semantic_adapt"),
        ("selftrain_icm.yaml", ["RECIPE.ROUNDS", "2", "RECIPE.GUIDANCE", "all"], "expected one of predicted, none"),
        ("selftrain_icm.yaml", ["RECIPE.ROUNDS", "2", "RECIPE.GUIDANCE", "ground_truth"], "name the labelled twin"),
        ("selftrain_icm.yaml", ["RECIPE.ROUNDS", "2", "RECIPE.ORACLE_GUIDANCE_SHARE", "7.0"], "a share in .0, 1."),
        ("selftrain_icm.yaml", ["RECIPE.ROUNDS", "2", "RECIPE.AGREEMENT_IMAGES", "0"], "expected 1 or more"),
        ("selftrain_icm.yaml", ["RECIPE.ROUNDS", "2", "MODEL.SELF_TRAINING.PSEUDO_LABELS", "predicted"], "a teacher"),
    ],
)
def test_bad_keys(config: str, overrides: list[str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(CONFIGS / config, overrides)


@pytest.mark.parametrize(
    ("agreements", "best"), [([50], 0), ([50, 51], 1), ([50, 50], 0), ([50, 51, 49], 1), ([50, 49, 60], 0)]
)
def test_the_last_round_of_the_rise_counts(agreements: list[float], best: int) -> None:
    assert best_round(agreements) == best


@pytest.fixture(scope="module")
def two_rounds(drawn_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[CfgNode, list[StageRun]]]:
    """A tiny recipe after two rounds, in a world without any label of the target's training images."""
    root = tmp_path_factory.mktemp("rounds")
    shutil.copytree(drawn_world, root / "data")
    shutil.rmtree(root / "data" / "miniscapes" / "cityscapes" / "gtFine" / "train")
    overrides = [*TINY, "OUTPUT_DIR", str(root / "out"), "RECIPE.ROUNDS", "2", "EVAL.MIN_SCORE", "0.0"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DETECTRON2_DATASETS", str(root / "data"))
        cfg, stages = load_config(RECIPE, overrides), load_recipe(RECIPE, overrides)
        run_stages(cfg, stages, resume=False)
        yield cfg, stages


def test_both_rounds_are_tried_and_one_counts(two_rounds: tuple[CfgNode, list[StageRun]]) -> None:
    cfg, stages = two_rounds
    agreements = [agreement for _, agreement in tried_rounds(stages)]
    rows = ResultRows(cfg, stages)
    assert [row.name for row in rows.round_rows()] == ["selftrain_round1", "selftrain_round2"]
    expected = ["instance_selftrain", "instance_selftrain_round2"][best_round(agreements)]
    assert rows.final[1] == expected
    names = [row.name for row in rows.panoptic_rows()]
    assert names == ["source", "selftrain_round1", "selftrain_round2", "selftrain"]


def test_guidance_is_a_class_an_island_or_nothing(two_rounds: tuple[CfgNode, list[StageRun]]) -> None:
    (semantic,) = [run for run in two_rounds[1] if run.name == "semantic_selftrain_round2"]
    dicts = target_dicts(semantic.cfg, semantic.inputs)
    assert len(dicts) == 6
    for item in dicts:
        guidance = cv2.imread(item["guidance_mask_file_name"], cv2.IMREAD_UNCHANGED)
        assert guidance.shape == (64, 128) and {*np.unique(guidance).tolist()} <= {*THING_IDS, 254, 255}


def test_a_second_call_runs_nothing(two_rounds: tuple[CfgNode, list[StageRun]]) -> None:
    cfg, stages = two_rounds
    before = {path: path.stat().st_mtime_ns for path in Path(cfg.OUTPUT_DIR).rglob("*") if path.is_file()}
    run_stages(cfg, stages, resume=False)
    assert {path: path.stat().st_mtime_ns for path in Path(cfg.OUTPUT_DIR).rglob("*") if path.is_file()} == before


def test_agreement_of_other_models_is_not_read(two_rounds: tuple[CfgNode, list[StageRun]]) -> None:
    first = rounds_of(two_rounds[1])[0]
    assert read_agreement(first) is not None
    done = first.semantic.folder / "done.json"
    text = done.read_text()
    try:
        done.write_text(json.dumps({**json.loads(text), "id": "made again"}))
        assert read_agreement(first) is None
    finally:
        done.write_text(text)


@pytest.mark.parametrize("key", ["MIN_SCORE", "OPENING", "CLOSING", "MIN_STUFF_AREA"])
def test_agreement_of_other_instances_is_not_read(two_rounds: tuple[CfgNode, list[StageRun]], key: str) -> None:
    first = rounds_of(two_rounds[1])[0]
    other = first.instance.with_keys({f"EVAL.{key}": 0.875})
    assert read_agreement(first) is not None and read_agreement(first._replace(instance=other)) is None


def test_agreement_of_an_older_version_is_read(two_rounds: tuple[CfgNode, list[StageRun]]) -> None:
    first = rounds_of(two_rounds[1])[0]
    agreement, text = read_agreement(first), agreement_file(first).read_text()
    record = json.loads(text)
    del record["basis"]["min_stuff_area"]
    try:
        agreement_file(first).write_text(json.dumps(record))
        assert read_agreement(first) == agreement
    finally:
        agreement_file(first).write_text(text)
