"""Code, libraries and hardware of a run."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ptseg_d2.config import get_ptseg_cfg
from ptseg_d2.runs import provenance

import pytest


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_commit_of_the_checkout_that_holds_the_package(tmp_path: Path) -> None:
    package, environment = tmp_path / "package", tmp_path / "venv"
    for folder in (package, environment):
        folder.mkdir()
        (folder / "module.py").touch()
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "package")
    git(tmp_path, "commit", "-q", "-m", "first")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert provenance.code_version(package) == f"commit {commit}"
    (package / "module.py").write_text("x = 1\n")
    assert provenance.code_version(package) == f"commit {commit}, with uncommitted changes"
    assert "not in a git checkout" in provenance.code_version(environment)  # lies in one, but is not of it


def test_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert provenance.code_version(tmp_path).startswith("ptseg_d2 ")


def test_libraries_and_processor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    versions = provenance.library_versions()
    assert all(f"{name} " in versions for name in ("Python", "detectron2", "torch", "numpy"))
    cfg = get_ptseg_cfg()
    cfg.MODEL.DEVICE = "cpu"
    (tmp_path / "cpuinfo").write_text("processor: 0\nmodel name\t: Some CPU 9000\n")
    monkeypatch.setattr(provenance, "CPU_INFO", tmp_path / "cpuinfo")
    assert provenance.hardware(cfg).startswith("Some CPU 9000, ")
    monkeypatch.setattr(provenance, "CPU_INFO", tmp_path / "none")
    assert "cores" in provenance.hardware(cfg)
