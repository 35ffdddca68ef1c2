"""One command at a time trains a run; a killed one leaves nothing that has to be cleaned up by hand."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from ptseg_d2.errors import RecipeError
from ptseg_d2.recipe.configs import load_recipe
from ptseg_d2.runs.done import read_done
from ptseg_d2.runs.lock import RUNNING, only_here
from ptseg_d2.runs.records import run_once
from ptseg_d2.stages import StageRun

import pytest
from tiny import CONFIGS

HOLD = (
    "import sys, time\nfrom ptseg_d2.runs.lock import only_here\n"
    "with only_here(sys.argv[1]):\n    print('held', flush=True)\n    time.sleep(60)\n"
)


@pytest.fixture
def stage(tmp_path: Path) -> StageRun:
    """A stage that needs nothing."""
    return load_recipe(CONFIGS / "semantic_source.yaml", ["OUTPUT_DIR", str(tmp_path)])[0]


def test_a_second_command_is_refused_while_the_first_runs_and_may_go_on_when_it_is_killed(stage: StageRun) -> None:
    folder = stage.folder
    folder.mkdir()
    with subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(RecipeError, match=rf"process {other.pid} on .*{RUNNING}\. Wait .* or delete that file"):
            run_once(stage, lambda run: None)
        assert (folder / RUNNING).exists()
        os.kill(other.pid, signal.SIGKILL)
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)  # ended, but still a zombie of ours
        run_once(stage, lambda run: None)
    assert read_done(folder)["seconds"] >= 0
    assert not (folder / RUNNING).exists()


def test_the_file_lives_as_long_as_the_work(stage: StageRun) -> None:
    path = stage.folder / RUNNING

    def fail(run: StageRun) -> None:
        assert json.loads(path.read_text())["pid"] == os.getpid()
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        run_once(stage, fail)
    assert not path.exists()
    run_once(stage, lambda run: None)
    run_once(stage, fail)  # finished: nothing is done, nothing held
    assert not path.exists()


@pytest.mark.parametrize(
    ("content", "free"),
    [
        ({"pid": 1, "start": "-1"}, True),  # the number is in use again
        ({"pid": 2**22 + 1, "start": "5"}, True),  # above the highest number of Linux
        ({"pid": 2**22 + 1, "start": "5", "host": "elsewhere"}, False),
        ({}, False),  # another process is just writing it
    ],
)
def test_what_a_file_left_behind_means(
    content: dict[str, object], free: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ptseg_d2.runs.lock.socket.gethostname", lambda: "here")
    (tmp_path / RUNNING).write_text(json.dumps({"host": "here", **content}) if content else "")
    if free:
        with only_here(tmp_path):
            assert json.loads((tmp_path / RUNNING).read_text())["pid"] == os.getpid()
    else:
        with pytest.raises(RecipeError, match="delete that file"), only_here(tmp_path):
            pass
        assert (tmp_path / RUNNING).exists()


def test_a_stage_that_another_command_finished_meanwhile_is_not_run_again(
    stage: StageRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It finishes between the first look and the claim."""
    visits: list[str] = []

    def work(run: StageRun) -> None:
        visits.append(str(run.folder))

    def claim(path: Path) -> None:
        with monkeypatch.context() as patch:
            patch.setattr("ptseg_d2.runs.lock._claim", lambda path: None)
            run_once(stage, work)

    monkeypatch.setattr("ptseg_d2.runs.lock._claim", claim)
    run_once(stage, work)
    assert len(visits) == 1
