"""Groups in processes of their own: how many at once, on what, and what becomes of them when the parent ends."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

from ptseg_d2.recipe.configs import load_recipe
from ptseg_d2.recipe.groups import free_cached_memory, parts_of
from ptseg_d2.recipe.launchers import processes as launching
from ptseg_d2.recipe.launchers.processes import Processes, slot_environment, visible_gpus
from ptseg_d2.stages import StageRun

import pytest
import torch
from tiny import CONFIGS


@pytest.fixture
def groups(tmp_path: Path) -> list[StageRun]:
    """Eight groups."""
    return parts_of(load_recipe(CONFIGS / "selftrain_icm.yaml", ["OUTPUT_DIR", str(tmp_path)])[-1])


def python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", code, *arguments]


def test_all_groups_run_and_no_more_than_asked_at_once(groups: list[StageRun], tmp_path: Path) -> None:
    """Each process makes a file while it runs and prints how many of them there are."""
    code = (
        "import sys, time, os, pathlib; mine = pathlib.Path(sys.argv[1]); mine.touch(); time.sleep(.2)\n"
        "print(len(list(mine.parent.iterdir())), os.environ['OMP_NUM_THREADS']); mine.unlink(); sys.exit(sys.argv[2])"
    )
    alive = tmp_path / "alive"
    alive.mkdir()

    def command(group: StageRun) -> list[str]:
        name = group.inputs.group[0]
        return python(code, str(alive / name), "no train" if name == "train" else "")

    logs = Processes(command, 3)(groups)
    assert [log.parent for log in logs] == [group.folder for group in groups]
    lines = [log.read_text().splitlines() for log in logs]
    assert {int(line[0].split()[0]) for line in lines} <= {1, 2, 3}
    assert {line[0].split()[1] for line in lines} == {str(max(1, torch.get_num_threads() // 3))}
    assert [log.parent.name for log, line in zip(logs, lines) if "no train" in line] == ["train"]


def test_slots_share_threads_and_take_gpus_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching.torch, "get_num_threads", lambda: 9)
    found = [slot_environment(slot, 4, ["2", "5"]) for slot in range(4)]
    assert [item["CUDA_VISIBLE_DEVICES"] for item in found] == ["2", "5", "2", "5"]
    assert {item["OMP_NUM_THREADS"] for item in found} == {"2"}
    assert slot_environment(0, 20, []) == {"OMP_NUM_THREADS": "1"}


@pytest.mark.parametrize(("chosen", "count", "names"), [(None, 2, ["0", "1"]), ("3,7", 2, ["3", "7"]), (None, 0, [])])
def test_gpus_of_this_process(
    chosen: str | None, count: int, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if chosen:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    monkeypatch.setattr(launching.torch.cuda, "device_count", lambda: count)
    assert visible_gpus() == names


def test_another_thread_may_launch_too(groups: list[StageRun]) -> None:
    """Python sets signal handlers in the main thread only."""
    logs: list[Path] = []
    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=lambda: logs.extend(Processes(lambda group: python("print(7)"), 2)(groups[:2])))
    thread.start()
    thread.join()
    assert [log.read_text() for log in logs] == ["7\n", "7\n"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_parent_gives_its_gpu_memory_back_first(groups: list[StageRun], monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(launching, "free_cached_memory", lambda: calls.append("freed"))

    def command(group: StageRun) -> list[str]:
        calls.append("started")
        return python("")

    Processes(command, 1)(groups[:2])
    assert calls == ["freed", "started", "started"]


@pytest.mark.parametrize("initialized", [False, True])
def test_memory_of_a_gpu_that_is_not_in_use_is_left_alone(initialized: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: initialized)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: calls.append("emptied"))
    free_cached_memory()
    assert calls == ["emptied"] * initialized


def test_processes_end_with_their_parent(groups: list[StageRun], tmp_path: Path) -> None:
    code = "import os, pathlib, sys, time; pathlib.Path(sys.argv[1]).write_text(str(os.getpid())); time.sleep(60)"
    files = [tmp_path / f"pid{number}" for number in range(2)]
    names = iter(files)

    def terminate() -> None:
        while not all(file.exists() and file.read_text() for file in files):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    threading.Thread(target=terminate, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        Processes(lambda group: python(code, str(next(names))), 2)(groups[:2])
    for file in files:
        with pytest.raises(ProcessLookupError):
            os.kill(int(file.read_text()), 0)
    assert signal.getsignal(signal.SIGTERM) is before
