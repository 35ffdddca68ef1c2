"""`done.json`: who is finished, and what tells a run from the same one made again."""

from __future__ import annotations

import json
from pathlib import Path

from ptseg_d2.errors import RecipeError
from ptseg_d2.recipe.configs import load_recipe
from ptseg_d2.runs.done import DONE, identity, read_done
from ptseg_d2.runs.records import run_once

import pytest
from tiny import CONFIGS


def test_what_is_not_finished_is_refused(tmp_path: Path) -> None:
    for read in (read_done, identity):
        with pytest.raises(RecipeError, match=rf"{tmp_path} is not finished: there is no {tmp_path / DONE}\. Train"):
            read(tmp_path)


def test_a_run_made_again_is_another_one(tmp_path: Path) -> None:
    (run,) = load_recipe(CONFIGS / "semantic_source.yaml", ["OUTPUT_DIR", str(tmp_path)])
    found = []
    for is_made_again in (False, False, True):
        if is_made_again:
            (run.folder / DONE).unlink()
        run_once(run, lambda run: None)
        found.append(identity(run.folder))
    assert found[0] == found[1] != found[2]


def test_runs_of_an_older_version_have_no_identity(tmp_path: Path) -> None:
    (tmp_path / DONE).write_text(json.dumps({"seconds": 3.5}))
    assert read_done(tmp_path) == {"seconds": 3.5} and identity(tmp_path) == ""
