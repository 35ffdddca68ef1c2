"""Which stages run, with which settings, and what a second visit does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ptseg_d2.engine.recipe import RecipeError, load_config, load_recipe, read_done, run_once, settings
from ptseg_d2.engine.stages import group_config, groups_of

import pytest
from detectron2.config import CfgNode

CONFIGS = Path(__file__).parents[1] / "configs"


def test_the_main_recipe_runs_its_stages_in_order() -> None:
    stages = load_recipe(CONFIGS / "selftrain_icm.yaml", ["OUTPUT_DIR", "out"])
    assert [cfg.RECIPE.STAGE for cfg in stages] == [
        "semantic_source",
        "semantic_adapted",
        "semantic_selftrain",
        "instance_source",
        "instance_adapted",
        "instance_selftrain",
    ]
    assert [cfg.OUTPUT_DIR for cfg in stages] == [f"out/{cfg.RECIPE.STAGE}" for cfg in stages]
    assert stages[2].MODEL.WEIGHTS == "out/semantic_adapted/model_final.pth"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
def test_every_config_starts_from_stages_it_needs(path: Path) -> None:
    stages = [cfg.RECIPE.STAGE for cfg in load_recipe(path)]
    for position, cfg in enumerate(load_recipe(path)):
        for earlier in (cfg.RECIPE.INIT_FROM, cfg.RECIPE.MASKS_FROM):
            assert not earlier or earlier in stages[:position]


def test_overrides_reach_every_stage() -> None:
    stages = load_recipe(CONFIGS / "selftrain_icm.yaml", ["DATASETS.SOURCE", "('mine',)", "SOLVER.MAX_ITER", "7"])
    assert {cfg.DATASETS.SOURCE for cfg in stages} == {("mine",)}
    assert {cfg.SOLVER.MAX_ITER for cfg in stages} == {7}


def test_oracle_is_the_supervised_half_on_target_labels() -> None:
    oracle = {cfg.RECIPE.STAGE: cfg for cfg in load_recipe(CONFIGS / "oracle.yaml")}
    source = {cfg.RECIPE.STAGE: cfg for cfg in load_recipe(CONFIGS / "selftrain_icm.yaml")}
    assert sorted(oracle) == ["instance_source", "semantic_source"]
    for stage, cfg in oracle.items():
        ours, theirs = settings(cfg), settings(source[stage])
        assert [key for key in ours if ours[key] != theirs[key]] == ["DATASETS.SOURCE"]
    assert load_config(CONFIGS / "oracle.yaml").RECIPE.SUPERVISED_ROW == "oracle"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["SOLVER.MAX_ITERS", "3"], "MAX_ITERS"),
        (["RECIPE.STAGE", "warmup"], "expected '' or one of semantic_source"),
        (["SOLVER.MAX_ITER"], "MAX_ITER"),
    ],
)
def test_bad_overrides_name_the_key(overrides: list[str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_config(CONFIGS / "semantic_source.yaml", overrides)


def test_unknown_key_in_a_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("MODEL:\n  BAKCBONE: 1\n")
    with pytest.raises(RecipeError, match="BAKCBONE"):
        load_config(path)


def test_missing_config_file() -> None:
    with pytest.raises(FileNotFoundError, match="nowhere.yaml"):
        load_config("nowhere.yaml")


@pytest.fixture
def stage(tmp_path: Path) -> CfgNode:
    """The config of one stage below a temporary OUTPUT_DIR."""
    return load_recipe(CONFIGS / "semantic_source.yaml", ["OUTPUT_DIR", str(tmp_path)])[0]


def test_finished_stage_is_not_run_again(stage: CfgNode) -> None:
    visits: list[str] = []

    def work(cfg: CfgNode) -> dict[str, Any]:
        visits.append(cfg.OUTPUT_DIR)
        return {"found": 3}

    run_once(stage, work)
    run_once(stage, work)
    assert visits == [stage.OUTPUT_DIR]
    done = read_done(stage.OUTPUT_DIR)
    assert done["found"] == 3 and done["settings"]["SOLVER.MAX_ITER"] == stage.SOLVER.MAX_ITER


def test_failed_stage_is_run_again(stage: CfgNode) -> None:
    def fail(cfg: CfgNode) -> None:
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        run_once(stage, fail)
    with pytest.raises(RecipeError, match="is not finished"):
        read_done(stage.OUTPUT_DIR)
    run_once(stage, lambda cfg: None)
    assert read_done(stage.OUTPUT_DIR)["seconds"] >= 0


def test_other_settings_are_refused_and_named(stage: CfgNode) -> None:
    run_once(stage, lambda cfg: None)
    before = (Path(stage.OUTPUT_DIR) / "done.json").read_text()
    changed = stage.clone()
    changed.defrost()
    changed.SOLVER.MAX_ITER += 1
    with pytest.raises(RecipeError, match=rf"SOLVER.MAX_ITER was {stage.SOLVER.MAX_ITER}, is"):
        run_once(changed, lambda cfg: None)
    assert (Path(stage.OUTPUT_DIR) / "done.json").read_text() == before


def test_moved_output_and_other_device_are_the_same_settings(stage: CfgNode, tmp_path: Path) -> None:
    moved = load_recipe(CONFIGS / "semantic_source.yaml", ["OUTPUT_DIR", "elsewhere", "DATALOADER.NUM_WORKERS", "2"])[0]
    assert json.dumps(settings(moved)) == json.dumps(settings(stage))


def test_groups_of_icm_are_single_classes_with_their_own_folders() -> None:
    cfg = load_recipe(CONFIGS / "selftrain_icm.yaml", ["OUTPUT_DIR", "out"])[-1]
    groups = groups_of(cfg)
    assert [len(group) for group in groups] == [1] * 8
    assert group_config(cfg, groups[0]).OUTPUT_DIR == "out/instance_selftrain/person"
    assert group_config(cfg, ["car", "bus"]).OUTPUT_DIR == "out/instance_selftrain/car+bus"
    assert group_config(cfg, []).OUTPUT_DIR == "out/instance_selftrain/all"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
def test_warm_up_ends_before_the_training(path: Path) -> None:
    for cfg in load_recipe(path):
        if not cfg.RECIPE.STAGE.endswith("_adapted"):
            assert cfg.SOLVER.WARMUP_ITERS <= cfg.SOLVER.MAX_ITER // 4


def test_stage_built_on_an_older_run_is_refused(tmp_path: Path) -> None:
    source, adapted = load_recipe(CONFIGS / "semantic_adapted.yaml", ["OUTPUT_DIR", str(tmp_path)])
    run_once(source, lambda cfg: None)
    run_once(adapted, lambda cfg: None)
    run_once(adapted, lambda cfg: None)
    (tmp_path / "semantic_source" / "done.json").unlink()
    run_once(source, lambda cfg: None)
    with pytest.raises(RecipeError, match="built on an earlier run of semantic_source"):
        run_once(adapted, lambda cfg: None)


def test_a_class_belongs_to_one_group() -> None:
    cfg = load_config(CONFIGS / "selftrain_icm.yaml", ["INSTANCE.GROUPS", "[['car'], ['car', 'bus']]"])
    with pytest.raises(RecipeError, match="names 'car' twice"):
        groups_of(cfg)
