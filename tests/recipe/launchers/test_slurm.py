"""Groups as submitit tasks, with submitit's executor for this machine instead of Slurm."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

from ptseg_d2.errors import RecipeError
from ptseg_d2.recipe.configs import load_recipe
from ptseg_d2.recipe.groups import parts_of
from ptseg_d2.recipe.launchers.slurm import SubmititTasks
from ptseg_d2.stages import StageRun

import pytest
import torch
from tiny import CONFIGS


@pytest.fixture
def groups(tmp_path: Path) -> list[StageRun]:
    """Two groups."""
    overrides = ["OUTPUT_DIR", str(tmp_path), "INSTANCE.GROUPS", "[['car'], ['bus']]"]
    return parts_of(load_recipe(CONFIGS / "selftrain_icm.yaml", overrides)[-1])


def test_every_group_is_a_task_with_a_log(groups: list[StageRun], tmp_path: Path) -> None:
    def command(group: StageRun) -> list[str]:
        name = group.inputs.group[0]
        return [sys.executable, "-c", f"import sys; print('this is', '{name}'); sys.exit('{name}' == 'bus')"]

    logs = SubmititTasks(command, "local")(groups)
    assert len(set(logs)) == 2 and {log.parent.parent for log in logs} == {tmp_path / "instance_selftrain"}
    texts = [log.read_text() for log in logs]
    assert ["this is car" in text for text in texts] == [True, False]
    assert ["CalledProcessError" in text for text in texts] == [False, True]


def test_local_tasks_take_the_gpus_in_turn(groups: list[StageRun], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    on_gpus = [group.with_keys({"MODEL.DEVICE": "cuda"}) for group in groups]
    tasks = SubmititTasks(lambda group: [], "local")
    environments = [tasks._environment(number, on_gpus) or {} for number in range(2)]
    assert [environment["CUDA_VISIBLE_DEVICES"] for environment in environments] == ["3", "5"]
    assert SubmititTasks(lambda group: [], "slurm")._environment(0, on_gpus) is None


def test_tasks_are_cancelled_at_sigterm(groups: list[StageRun], tmp_path: Path) -> None:
    code = "import os, pathlib, sys, time; pathlib.Path(sys.argv[1]).write_text(str(os.getpid())); time.sleep(60)"
    file = tmp_path / "pid"

    def terminate() -> None:
        while not (file.exists() and file.read_text()):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    threading.Thread(target=terminate, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        SubmititTasks(lambda group: [sys.executable, "-c", code, str(file)], "local")(groups[:1])
    assert signal.getsignal(signal.SIGTERM) is before
    process = Path("/proc") / file.read_text() / "stat"
    for _ in range(300):
        try:
            if process.read_text().rpartition(")")[2].split()[0] == "Z":  # ended, and nobody asked for its status
                return
        except (FileNotFoundError, ProcessLookupError):
            return
        time.sleep(0.1)
    pytest.fail("the task still runs")


def test_slurm_options_become_those_of_submitit() -> None:
    tasks = SubmititTasks(lambda group: [], "slurm", ["partition=gpu", "time=720"])
    assert tasks.options == {"slurm_partition": "gpu", "slurm_time": 720}


@pytest.mark.parametrize("option", ["partition", "=gpu", "time="])
def test_an_option_without_a_value_is_named(option: str) -> None:
    with pytest.raises(RecipeError, match=rf"--slurm-option '{option}': expected key=value"):
        SubmititTasks(lambda group: [], "slurm", [option])


def test_slurm_gets_one_array_with_the_options(
    groups: list[StageRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`sbatch` keeps the script that it is given and refuses it."""
    for name, code in {
        "srun": "exit 0",
        "sbatch": f'cp "$1" {tmp_path}/script; echo no such partition >&2; exit 1',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{code}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    tasks = SubmititTasks(lambda group: ["true"], "slurm", ["partition=gpu", "time=720"], num_at_once=1)
    with pytest.raises(RecipeError, match="--submitit slurm: .*no such partition"):
        tasks(groups)
    script = (tmp_path / "script").read_text()
    for option in ("partition=gpu", "time=720", "array=0-1%1", "job-name=ptseg_instance_selftrain"):
        assert f"#SBATCH --{option}\n" in script
    assert "gpus" not in script


def test_a_machine_without_slurm_is_an_error(groups: list[StageRun], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RecipeError, match="--submitit slurm: .*srun"):
        SubmititTasks(lambda group: ["true"], "slurm")(groups)


def test_an_unknown_option_is_named(groups: list[StageRun]) -> None:
    with pytest.raises(RecipeError, match="--submitit local: .*partitoin"):
        SubmititTasks(lambda group: [], "local", ["partitoin=gpu"])(groups)


def test_without_submitit_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(RecipeError, match=r"pip install 'ptseg_d2\[slurm\]'"):
        SubmititTasks(lambda group: [], "slurm")
