"""A finished run is skipped; with other settings, or on runs that were made again since, it is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ptseg_d2.errors import RecipeError
from ptseg_d2.recipe.configs import load_recipe
from ptseg_d2.runs.done import read_done
from ptseg_d2.runs.records import note_start, run_once
from ptseg_d2.runs.settings import settings
from ptseg_d2.stages import StageRun

import pytest
from tiny import CONFIGS


@pytest.fixture
def stage(tmp_path: Path) -> StageRun:
    """One stage below a temporary OUTPUT_DIR."""
    return load_recipe(CONFIGS / "semantic_source.yaml", ["OUTPUT_DIR", str(tmp_path)])[0]


def test_finished_stage_is_not_run_again(stage: StageRun) -> None:
    visits: list[str] = []

    def work(run: StageRun) -> dict[str, Any]:
        visits.append(str(run.folder))
        return {"found": 3}

    run_once(stage, work)
    run_once(stage, work)
    assert visits == [str(stage.folder)]
    done = read_done(stage.folder)
    assert done["found"] == 3 and done["settings"]["SOLVER.MAX_ITER"] == stage.cfg.SOLVER.MAX_ITER


def test_failed_stage_is_run_again(stage: StageRun) -> None:
    def fail(run: StageRun) -> None:
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        run_once(stage, fail)
    with pytest.raises(RecipeError, match="is not finished"):
        read_done(stage.folder)
    run_once(stage, lambda run: None)
    assert read_done(stage.folder)["seconds"] >= 0


def test_other_settings_are_refused_and_named(stage: StageRun) -> None:
    run_once(stage, lambda run: None)
    before = (stage.folder / "done.json").read_text()
    changed = stage.with_keys({"SOLVER.MAX_ITER": stage.cfg.SOLVER.MAX_ITER + 1})
    with pytest.raises(RecipeError, match=rf"SOLVER.MAX_ITER was {stage.cfg.SOLVER.MAX_ITER}, is"):
        run_once(changed, lambda run: None)
    assert (stage.folder / "done.json").read_text() == before


def test_stage_built_on_an_older_run_is_refused(tmp_path: Path) -> None:
    source, adapted = load_recipe(CONFIGS / "semantic_adapted.yaml", ["OUTPUT_DIR", str(tmp_path)])
    run_once(source, lambda run: None)
    run_once(adapted, lambda run: None)
    run_once(adapted, lambda run: None)
    (tmp_path / "semantic_source" / "done.json").unlink()
    run_once(source, lambda run: None)
    with pytest.raises(RecipeError, match="built on an earlier run of semantic_source"):
        run_once(adapted, lambda run: None)


def test_a_stage_is_not_resumed_on_another_start(tmp_path: Path) -> None:
    """A needed stage that was made again since the interruption; `started.json` of older versions does not know it."""
    source, adapted = load_recipe(CONFIGS / "semantic_adapted.yaml", ["OUTPUT_DIR", str(tmp_path)])
    run_once(source, lambda run: None)
    note_start(adapted, resume=False)
    started = tmp_path / "semantic_adapted" / "started.json"
    assert json.loads(started.read_text())["built_on"] == {"semantic_source": read_done(source.folder)["id"]}
    note_start(adapted, resume=True)
    (tmp_path / "semantic_source" / "done.json").unlink()
    run_once(source, lambda run: None)
    with pytest.raises(RecipeError, match="semantic_adapted was built on an earlier run of semantic_source"):
        note_start(adapted, resume=True)
    started.write_text(json.dumps({"settings": settings(adapted)}))
    note_start(adapted, resume=True)
    (tmp_path / "semantic_source" / "done.json").unlink()
    run_once(source, lambda run: None)
    note_start(adapted, resume=False)  # from the beginning


def test_a_training_is_resumed_with_its_settings_or_begun_anew(stage: StageRun) -> None:
    """Begun anew, it forgets the checkpoint of before: a later `resume` would continue that one."""
    changed = stage.with_keys({"SOLVER.BASE_LR": 9.0})
    note_start(stage, resume=True)  # nothing to continue
    checkpoint = stage.folder / "last_checkpoint"
    checkpoint.touch()
    with pytest.raises(RecipeError, match=r"SOLVER\.BASE_LR was .*, is 9\.0"):
        note_start(changed, resume=True)
    note_start(stage, resume=True)
    assert checkpoint.exists()
    note_start(changed, resume=False)
    assert not checkpoint.exists()
    note_start(changed, resume=True)
