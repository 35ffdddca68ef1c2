"""One command at a time trains a run; a killed one leaves nothing that has to be cleaned up by hand."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

from ptseg_d2.errors import RecipeError
from ptseg_d2.recipe.configs import load_recipe
from ptseg_d2.runs import lock as lock_module
from ptseg_d2.runs.done import read_done
from ptseg_d2.runs.lock import LOCK, RUNNING, only_here
from ptseg_d2.runs.records import run_once
from ptseg_d2.stages import StageRun

import pytest
from filelock import FileLock
from tiny import CONFIGS

HOLD = (
    "import os, sys, time\nfrom ptseg_d2.runs.lock import only_here\n"
    "with only_here(sys.argv[1]):\n"
    "    worker = os.fork()\n"  # as those that load images
    "    if worker:\n        print('held', worker, flush=True)\n"
    "    time.sleep(60)\n"
)
ROUNDS = 300


@pytest.fixture
def stage(tmp_path: Path) -> StageRun:
    """A stage that needs nothing."""
    return load_recipe(CONFIGS / "semantic_source.yaml", ["OUTPUT_DIR", str(tmp_path)])[0]


@contextmanager
def holder_of(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another command that is at a folder, with a worker process of its own, which outlives it for a while."""
    with subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        held, worker = other.stdout.readline().split()
        assert held == "held"
        try:
            yield other
        finally:
            other.kill()
            os.kill(int(worker), signal.SIGKILL)


def refused(folder: Path) -> str:
    with pytest.raises(RecipeError) as error, only_here(folder):
        pass
    return str(error.value)


def test_a_second_command_is_refused_while_the_first_runs_and_may_go_on_when_it_is_killed(stage: StageRun) -> None:
    folder = stage.folder
    folder.mkdir()
    with holder_of(folder) as other:
        says = rf"{folder} is being made by process {other.pid} on .*{RUNNING}\. Wait until it has ended, or end it"
        for _ in range(2):  # the refusal changes nothing
            with pytest.raises(RecipeError, match=says):
                run_once(stage, lambda run: None)
        other.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)  # ended, but still a zombie of ours
        assert (folder / RUNNING).exists()
        run_once(stage, lambda run: None)
    assert read_done(folder)["seconds"] >= 0
    assert not (folder / RUNNING).exists()


def test_the_note_lives_as_long_as_the_work(stage: StageRun) -> None:
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


def compete(folders: list[Path], start: Barrier, end: Barrier, found: Queue[list[Path]]) -> None:
    won = []
    for folder in folders:
        start.wait()
        try:
            with only_here(folder):
                won.append(folder)
                end.wait()  # the other one has tried, too
        except RecipeError:
            end.wait()
    found.put(won)


def test_of_two_commands_one_takes_what_a_killed_one_left(tmp_path: Path) -> None:
    left = tmp_path / "left"
    left.mkdir()
    with holder_of(left):
        pass
    assert {path.name for path in left.iterdir()} == {LOCK, RUNNING}
    folders = [tmp_path / str(number) for number in range(ROUNDS)]
    for folder in folders:
        shutil.copytree(left, folder)
    context = multiprocessing.get_context("fork")
    start, end, found = context.Barrier(2, timeout=60), context.Barrier(2, timeout=60), context.Queue()
    commands = [context.Process(target=compete, args=(folders, start, end, found)) for _ in range(2)]
    for command in commands:
        command.start()
    won = [folder for _ in commands for folder in found.get(timeout=120)]
    for command in commands:
        command.join(timeout=60)
    assert [command.exitcode for command in commands] == [0, 0]
    assert sorted(won) == sorted(folders)


@pytest.mark.parametrize("content", [b"", b"\0" * 80, b"[1, 2]", b'{"host": "elsew', b"\xff\xfe"])
def test_damaged_files_neither_free_nor_block_a_folder(content: bytes, tmp_path: Path) -> None:
    """A full disk leaves empty files; copies between machines leave others."""
    (tmp_path / LOCK).write_bytes(content)
    (tmp_path / RUNNING).write_bytes(content)
    with only_here(tmp_path):
        assert json.loads((tmp_path / RUNNING).read_text())["pid"] == os.getpid()
        (tmp_path / RUNNING).write_bytes(content)
        assert "is being made by another process. Wait until" in refused(tmp_path)
    with only_here(tmp_path):
        pass


def test_a_process_of_another_machine_is_named(tmp_path: Path) -> None:
    """The lock is that of the file server; the note alone says nothing."""
    note = json.dumps({"host": "elsewhere", "pid": 7})
    with FileLock(tmp_path / LOCK):
        (tmp_path / RUNNING).write_text(note)
        text = refused(tmp_path)
    assert "process 7 on elsewhere" in text and "If elsewhere is down, its file server frees" in text
    with only_here(tmp_path):
        pass


def test_a_full_disk_is_left_to_the_work_to_report(tmp_path: Path) -> None:
    (tmp_path / RUNNING).mkdir()  # so that it cannot be written
    with only_here(tmp_path):
        assert "is being made by another process" in refused(tmp_path)


def test_a_stage_that_another_command_finished_meanwhile_is_not_run_again(
    stage: StageRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It finishes between the first look and the claim."""
    visits: list[str] = []
    claim = lock_module._claim

    def work(run: StageRun) -> None:
        visits.append(str(run.folder))

    def claim_later(folder: Path) -> FileLock:
        with monkeypatch.context() as patch:
            patch.setattr(lock_module, "_claim", claim)
            run_once(stage, work)
        return claim(folder)

    monkeypatch.setattr(lock_module, "_claim", claim_later)
    run_once(stage, work)
    assert len(visits) == 1
