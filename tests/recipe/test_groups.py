"""Groups of classes: where each runs, what it starts from, and what happens when one fails."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

from ptseg_d2.errors import RecipeError
from ptseg_d2.recipe import groups
from ptseg_d2.recipe.configs import load_recipe
from ptseg_d2.recipe.groups import find_group, groups_of, parts_of, run_groups
from ptseg_d2.runs.records import is_finished, run_once
from ptseg_d2.stages import StageRun

import pytest
from tiny import CONFIGS

INSTANCE = CONFIGS / "instance"
CATEGORIES = ["car+bus+truck+train", "person+rider", "bicycle+motorcycle"]


def stages_of(path: Path, *overrides: str) -> dict[str, StageRun]:
    return {run.name: run for run in load_recipe(path, list(overrides))}


def test_groups_of_icm_are_single_classes_with_their_own_folders() -> None:
    run = stages_of(CONFIGS / "selftrain_icm.yaml", "OUTPUT_DIR", "out")["instance_selftrain"]
    groups = groups_of(run.cfg)
    assert [len(group) for group in groups] == [1] * 8
    assert str(run.of_group(groups[0]).folder) == "out/instance_selftrain/person"
    assert str(run.of_group(["car", "bus"]).folder) == "out/instance_selftrain/car+bus"
    assert str(run.of_group([]).folder) == "out/instance_selftrain/all"


def test_ccm_has_one_source_run_per_category_beside_the_shared_one() -> None:
    for config, folders in {"ccm_25": [f"/{name}" for name in CATEGORIES], "base_25": [""]}.items():
        stages = stages_of(INSTANCE / f"{config}.yaml", "RECIPE.NEEDS_DIR", "shared")
        for stage in ("instance_source", "instance_adapted"):
            runs = parts_of(stages[stage])
            assert [str(run.folder) for run in runs] == [f"shared/{stage}{folder}" for folder in folders]


@pytest.mark.parametrize(
    ("config", "start"),
    [
        ("ccm_25", "instance_adapted/person+rider"),  # each category from its own
        ("base_25", "instance_adapted"),
    ],
)
def test_a_category_starts_from_its_own_source_model_in_ccm_only(config: str, start: str) -> None:
    run = stages_of(INSTANCE / f"{config}.yaml", "RECIPE.NEEDS_DIR", "shared")["instance_selftrain"]
    assert run.of_group(["person", "rider"]).cfg.MODEL.WEIGHTS == f"shared/{start}/model_final.pth"


def test_a_group_of_the_source_stage_learns_its_classes_only() -> None:
    stages = stages_of(INSTANCE / "ccm_25.yaml")
    assert [part.inputs.group for part in parts_of(stages["instance_source"])] == [
        ("car", "bus", "truck", "train"),
        ("person", "rider"),
        ("bicycle", "motorcycle"),
    ]


def test_groups_of_an_override_reach_the_stages_that_have_groups() -> None:
    override = ("INSTANCE.GROUPS", "[['car'], ['person', 'rider']]")
    icm = stages_of(CONFIGS / "selftrain_icm.yaml", *override)
    assert {stage: len(parts_of(run)) for stage, run in icm.items() if stage.startswith("instance")} == {
        "instance_source": 1,
        "instance_adapted": 1,
        "instance_selftrain": 2,
    }
    ccm = stages_of(INSTANCE / "ccm_25.yaml", *override)
    assert [len(parts_of(run)) for stage, run in ccm.items() if stage.startswith("instance")] == [2, 2, 2]


def test_a_stage_cannot_start_from_groups_that_it_does_not_have(tmp_path: Path) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text(f"_BASE_: {INSTANCE / 'ccm_25.yaml'}\nINSTANCE:\n  GROUPS: [['car', 'bus']]\n")
    needs = str([str(INSTANCE / "ccm_source.yaml"), str(INSTANCE / "ccm_adapted.yaml")])
    with pytest.raises(RecipeError, match=r"one run for each of .* own INSTANCE.GROUPS are \[\['car', 'bus'\]\]"):
        load_recipe(config, ["RECIPE.NEEDS", needs])


def test_find_group() -> None:
    stages = load_recipe(INSTANCE / "ccm_25.yaml")
    for stage in ("instance_source", "instance_selftrain"):
        found = find_group(stages, f"{stage}/person+rider")
        assert found.title == f"{stage}/person+rider" and found.inputs.group == ("person", "rider")
    with pytest.raises(RecipeError, match="instance_selftrain/bicycle.motorcycle"):
        find_group(stages, "instance_selftrain/car")


def test_a_class_belongs_to_one_group() -> None:
    runs = stages_of(CONFIGS / "selftrain_icm.yaml", "INSTANCE.GROUPS", "[['car'], ['car', 'bus']]")
    with pytest.raises(RecipeError, match="names 'car' twice"):
        groups_of(runs["instance_selftrain"].cfg)


@pytest.fixture
def stage(tmp_path: Path) -> StageRun:
    """A stage of three groups that needs nothing."""
    overrides = ["OUTPUT_DIR", str(tmp_path), "RECIPE.INIT_FROM", "", "RECIPE.MASKS_FROM", ""]
    overrides += ["INSTANCE.GROUPS", "[['person'], ['car'], ['bus']]"]
    return load_recipe(CONFIGS / "selftrain_icm.yaml", overrides)[-1]


class Work:
    """Notes the groups that it does; fails at one of them."""

    def __init__(self, error: BaseException | None = None, at: str = "car") -> None:
        self.visits: list[str] = []
        self.error = error
        self.at = at

    def __call__(self, run: StageRun) -> dict[str, Any] | None:
        self.visits += run.inputs.group
        if self.error is not None and run.inputs.group == (self.at,):
            raise self.error
        return None


def test_a_failed_group_does_not_keep_the_others_from_theirs(stage: StageRun, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(RecipeError, match=r"1 of 3 groups .*\n  instance_selftrain/car: OSError: disk full"):
        run_groups(stage, Work(OSError("disk full")))
    assert [is_finished(part) for part in parts_of(stage)] == [True, False, True]
    assert "Traceback" in caplog.text and "instance_selftrain/car failed" in caplog.text
    again = Work()
    run_groups(stage, again)
    assert again.visits == ["car"]


def test_a_failed_group_leaves_nothing_behind(stage: StageRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it built is gone before the next group begins, so that its GPU memory can be given back."""

    class Model:
        pass

    built: list[weakref.ref[Model]] = []
    alive: list[bool] = []
    monkeypatch.setattr(groups, "free_cached_memory", lambda: alive.append(built[0]() is not None))

    def work(run: StageRun) -> None:
        if run.inputs.group == ("car",):
            model = Model()
            built.append(weakref.ref(model))
            raise OSError("disk full")

    monkeypatch.setattr(groups.logger, "exception", lambda *_: None)  # pytest would keep the traceback
    with pytest.raises(RecipeError, match="disk full"):
        run_groups(stage, work)
    assert alive == [False]


def test_an_interruption_ends_at_once(stage: StageRun) -> None:
    work = Work(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        run_groups(stage, work)
    assert work.visits == ["person", "car"]


def test_an_error_in_one_of_several_processes_is_not_held_back(
    stage: StageRun, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The other processes would wait for this one for ever."""
    monkeypatch.setattr(groups.comm, "get_world_size", lambda: 2)
    work = Work(OSError("disk full"))
    with pytest.raises(OSError, match="disk full"):
        run_groups(stage, work)
    assert work.visits == ["person", "car"]
    assert "Run the same command again: finished groups are skipped" in caplog.text


def test_a_launcher_gets_what_is_missing_and_failures_name_its_logs(stage: StageRun) -> None:
    run_once(parts_of(stage)[0], lambda run: None)
    given: list[str] = []

    def launcher(missing: Any) -> list[Path]:
        for run in missing:
            given.append(run.title)
            if run.inputs.group != ("bus",):
                run_once(run, lambda run: None)
        return [run.folder / "log" for run in missing]

    with pytest.raises(RecipeError, match=r"1 of 3 groups .*\n  instance_selftrain/bus: see .*/bus/log\n"):
        run_groups(stage, Work(), launcher)
    assert given == ["instance_selftrain/car", "instance_selftrain/bus"]
