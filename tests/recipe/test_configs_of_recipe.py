"""Which stages run, with which settings, and what a second visit does."""

from __future__ import annotations

import json
from pathlib import Path

from ptseg_d2.errors import RecipeError
from ptseg_d2.recipe.configs import load_config, load_recipe
from ptseg_d2.recipe.groups import parts_of
from ptseg_d2.runs.done import read_done
from ptseg_d2.runs.records import is_finished, run_once
from ptseg_d2.runs.settings import settings
from ptseg_d2.stages.table import Work

import pytest

CONFIGS = Path(__file__).parents[2] / "configs"


def test_the_main_recipe_runs_its_stages_in_order() -> None:
    runs = load_recipe(CONFIGS / "selftrain_icm.yaml", ["OUTPUT_DIR", "out"])
    assert [run.name for run in runs] == [
        "semantic_source",
        "semantic_adapted",
        "semantic_selftrain",
        "instance_source",
        "instance_adapted",
        "instance_selftrain",
    ]
    assert [run.cfg.OUTPUT_DIR for run in runs] == [f"out/{run.name}" for run in runs]
    assert runs[2].cfg.MODEL.WEIGHTS == "out/semantic_adapted/model_final.pth"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
def test_every_config_starts_from_stages_it_needs(path: Path) -> None:
    stages = [run.name for run in load_recipe(path)]
    for position, run in enumerate(load_recipe(path)):
        for earlier in (run.cfg.RECIPE.INIT_FROM, run.cfg.RECIPE.MASKS_FROM):
            assert not earlier or earlier in stages[:position]


def test_overrides_reach_every_stage() -> None:
    runs = load_recipe(CONFIGS / "selftrain_icm.yaml", ["DATASETS.SOURCE", "('mine',)", "SOLVER.MAX_ITER", "7"])
    assert {run.cfg.DATASETS.SOURCE for run in runs} == {("mine",)}
    assert {run.cfg.SOLVER.MAX_ITER for run in runs} == {7}


def test_oracle_is_the_supervised_half_on_target_labels() -> None:
    oracle = {run.name: run for run in load_recipe(CONFIGS / "oracle.yaml")}
    source = {run.name: run for run in load_recipe(CONFIGS / "selftrain_icm.yaml")}
    assert sorted(oracle) == ["instance_source", "semantic_source"]
    for stage, run in oracle.items():
        ours, theirs = settings(run), settings(source[stage])
        assert [key for key in ours if ours[key] != theirs[key]] == ["DATASETS.SOURCE"]
    assert load_config(CONFIGS / "oracle.yaml").EVAL.SUPERVISED_ROW == "oracle"


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


@pytest.mark.parametrize(
    ("needs", "message"),
    [
        (["a.yaml", "b.yaml"], r"a\.yaml and b\.yaml are both RECIPE.STAGE 'semantic_source'"),
        (["a.yaml", "none.yaml"], r"none\.yaml in RECIPE.NEEDS has no RECIPE.STAGE"),
    ],
)
def test_needed_files_are_of_one_stage_each(tmp_path: Path, needs: list[str], message: str) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(f"_BASE_: {CONFIGS / 'semantic_source.yaml'}\n")
    (tmp_path / "none.yaml").write_text(f"_BASE_: {CONFIGS / 'base' / 'miniscapes.yaml'}\n")
    (tmp_path / "recipe.yaml").write_text(f"_BASE_: none.yaml\nRECIPE: {{NEEDS: {needs}}}\n")
    with pytest.raises(RecipeError, match=message):
        load_recipe(tmp_path / "recipe.yaml")


def test_missing_config_file() -> None:
    with pytest.raises(FileNotFoundError, match="nowhere.yaml"):
        load_config("nowhere.yaml")


def test_moved_output_and_other_device_are_the_same_settings() -> None:
    stage = load_recipe(CONFIGS / "semantic_source.yaml", ["OUTPUT_DIR", "here"])[0]
    moved = load_recipe(CONFIGS / "semantic_source.yaml", ["OUTPUT_DIR", "elsewhere", "DATALOADER.NUM_WORKERS", "2"])[0]
    assert json.dumps(settings(moved)) == json.dumps(settings(stage))


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
def test_warm_up_ends_before_the_training(path: Path) -> None:
    for run in load_recipe(path):
        if run.stage.work is Work.TRAIN:
            assert run.cfg.SOLVER.WARMUP_ITERS <= run.cfg.SOLVER.MAX_ITER // 4


def test_needed_stages_live_in_their_own_folder() -> None:
    """The asked stage is in OUTPUT_DIR, everything that it needs is found in RECIPE.NEEDS_DIR."""
    runs = load_recipe(CONFIGS / "selftrain_icm.yaml", ["OUTPUT_DIR", "mine", "RECIPE.NEEDS_DIR", "shared"])
    assert [run.cfg.OUTPUT_DIR for run in runs] == [
        *(f"shared/semantic_{stage}" for stage in ("source", "adapted", "selftrain")),
        *("shared/instance_source", "shared/instance_adapted", "mine/instance_selftrain"),
    ]
    assert runs[-1].cfg.MODEL.WEIGHTS == "shared/instance_adapted/model_final.pth"
    assert runs[-1].inputs.masks == "shared/semantic_selftrain/target_masks/index.json"
    assert runs[2].cfg.MODEL.WEIGHTS == "shared/semantic_adapted/model_final.pth"


def test_shared_stages_are_the_same_in_every_config(tmp_path: Path) -> None:
    """Where a stage is, and who asks for it, is no setting; a stage built on one made again is found out."""
    own = load_recipe(CONFIGS / "semantic_adapted.yaml", ["OUTPUT_DIR", str(tmp_path / "shared")])
    for run in own:
        run_once(run, lambda run: None)
    overrides = ["RECIPE.NEEDS_DIR", str(tmp_path / "shared"), "OUTPUT_DIR", str(tmp_path / "mine")]
    source, adapted, selftrain = load_recipe(CONFIGS / "semantic_selftrain.yaml", overrides)
    assert is_finished(source) and is_finished(adapted) and not is_finished(selftrain)
    run_once(selftrain, lambda run: None)
    assert list(read_done(selftrain.folder)["built_on"]) == ["semantic_adapted"]
    (tmp_path / "shared" / "semantic_adapted" / "done.json").unlink()
    run_once(adapted, lambda run: None)
    with pytest.raises(RecipeError, match="built on an earlier run of semantic_adapted"):
        is_finished(selftrain)


@pytest.mark.parametrize("path", sorted((CONFIGS / "instance").glob("*.yaml")), ids=lambda path: path.name)
def test_instance_configs_share_the_stages_of_the_main_recipe(path: Path) -> None:
    """With the same settings, so that the second one finds them finished."""
    main = {run.folder: settings(run) for run in load_recipe(CONFIGS / "selftrain_icm.yaml")}
    for run in load_recipe(path)[:-1]:
        if not run.has_groups:
            assert main[run.folder] == settings(run)


@pytest.mark.parametrize(
    ("config", "stage", "iterations"),
    [
        *(
            (f"{name}_{share}", "instance_selftrain", 320)
            for name in ("all", "base", "ccm", "icm")
            for share in (0, 25)
        ),
        *(("icm_50", "instance_selftrain", 320), ("icm_75", "instance_selftrain", 320)),
        ("base_25", "instance_source", load_config(CONFIGS / "instance_source.yaml").SOLVER.MAX_ITER),
        ("ccm_25", "instance_source", load_config(CONFIGS / "instance_source.yaml").SOLVER.MAX_ITER),
    ],
)
def test_instance_configs_have_the_same_iterations_over_all_groups(config: str, stage: str, iterations: int) -> None:
    stages = {run.name: run for run in load_recipe(CONFIGS / "instance" / f"{config}.yaml")}
    assert sum(part.cfg.SOLVER.MAX_ITER for part in parts_of(stages[stage])) == pytest.approx(iterations, abs=1)
    share = stages["instance_selftrain"].cfg.SOLVER.SOURCE_PER_BATCH / 8
    assert config.endswith(f"_{100 * share:.0f}")
    assert stages["instance_selftrain"].cfg.SOLVER.TARGET_PER_BATCH == 8 - 8 * share


def test_icm_25_is_the_instance_self_training_of_the_main_recipe() -> None:
    main, icm = (load_recipe(CONFIGS / name)[-1] for name in ("selftrain_icm.yaml", "instance/icm_25.yaml"))
    assert settings(main) == settings(icm)
