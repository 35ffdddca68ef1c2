"""Each step of tools/install_detectron2.py on a made-up archive; nothing is downloaded or installed."""

from __future__ import annotations

import hashlib
import importlib.metadata
import logging
import sys
import tarfile
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import SimpleNamespace

import install_detectron2 as tool
import pytest

SETUP_PY = 'setup(install_requires=["tqdm", "black==21.4b2"], ext_modules=get_extensions())\n'


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A source archive laid out like the real one."""
    project = tmp_path / "made" / "pb1-detectron2-0.6"
    (project / "detectron2" / "model_zoo" / "configs").mkdir(parents=True)
    (project / "detectron2" / "model_zoo" / "configs" / "Base.yaml").write_text("VERSION: 2\n")
    (project / "setup.py").write_text(SETUP_PY)
    path = tmp_path / "pb1-detectron2-0.6.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.add(project, arcname=project.name)
    return path


class FakePip:
    """Records pip's calls; fails with the given outputs one after the other, then succeeds."""

    def __init__(self, *failures: str) -> None:
        self.failures = list(failures)
        self.calls: list[tuple[str, Path | None]] = []

    def __call__(self, *arguments: str, pip_folder: Path | None = None) -> None:
        self.calls.append((arguments[0], pip_folder))
        if self.failures:
            raise tool.InstallError(self.failures.pop(0))
        if "--dest" in arguments:
            folder = Path(arguments[arguments.index("--dest") + 1])
            folder.mkdir()
            (folder / "pb1-detectron2-0.6.tar.gz").write_bytes(b"archive")


def use_pip(monkeypatch: pytest.MonkeyPatch, pip: FakePip) -> FakePip:
    monkeypatch.setattr(tool, "run_pip", pip)
    return pip


def test_nothing_is_done_where_detectron2_works(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pip = use_pip(monkeypatch, FakePip())
    with caplog.at_level(logging.INFO):
        assert tool.main() == 0
    assert pip.calls == [] and "installed already" in caplog.text


@pytest.mark.parametrize("spec", [None, ModuleSpec("detectron2", loader=None)], ids=["absent", "left-over folder"])
def test_not_installed(monkeypatch: pytest.MonkeyPatch, spec: ModuleSpec | None) -> None:
    monkeypatch.setattr(tool, "find_spec", lambda name: spec)
    assert not tool.is_installed()


def test_broken_installation_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = ModuleSpec("detectron2", loader=None, origin="detectron2/__init__.py")
    monkeypatch.setattr(tool, "find_spec", lambda name: spec)
    monkeypatch.setitem(sys.modules, "detectron2", None)
    assert not tool.is_installed()


def test_the_whole_installation(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, archive: Path
) -> None:
    pip, answers = use_pip(monkeypatch, FakePip()), iter([False, True])
    monkeypatch.setattr(tool, "is_installed", lambda: next(answers))
    monkeypatch.setattr(tool, "download", lambda folder: archive)
    monkeypatch.setattr(tool, "check_hash", lambda path: None)
    with caplog.at_level(logging.INFO):
        assert tool.main() == 0
    assert pip.calls == [("install", None)] and "without compiled operators" in caplog.text


def test_an_error_is_logged_and_fails_the_command(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    use_pip(monkeypatch, FakePip("no network"))
    monkeypatch.setattr(tool, "is_installed", lambda: False)
    assert tool.main() == 1
    assert "no network" in caplog.text


def test_missing_build_tools_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    present = [SimpleNamespace(metadata={"Name": name}) for name in ("pip", "setuptools")]
    monkeypatch.setattr(importlib.metadata, "distributions", lambda: present)
    with pytest.raises(tool.InstallError, match="pip install torch wheel"):
        tool.require_build_tools()
    present.clear()
    with pytest.raises(tool.InstallError, match="python -m ensurepip"):
        tool.require_build_tools()


def test_download_returns_the_archive(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use_pip(monkeypatch, FakePip())
    assert tool.download(tmp_path).read_bytes() == b"archive"
    assert (tmp_path / "requirements.txt").read_text() == f"pb1-detectron2==0.6 --hash=sha256:{tool.SHA256}\n"


def test_download_with_a_pip_that_refuses_the_archive(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    refusal = "ERROR: Distributions from PyPI cannot declare direct URL dependencies."
    pip = use_pip(monkeypatch, FakePip(refusal))
    assert tool.download(tmp_path).is_file()
    assert pip.calls == [("download", None), ("install", None), ("download", tmp_path / "pip")]


def test_other_failures_of_the_download_are_final(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pip = use_pip(monkeypatch, FakePip("ERROR: No matching distribution found"))
    with pytest.raises(tool.InstallError, match="No matching distribution"):
        tool.download(tmp_path)
    assert len(pip.calls) == 1


def test_hash(tmp_path: Path) -> None:
    file = tmp_path / "archive.tar.gz"
    file.write_bytes(b"content")
    tool.check_hash(file, expected=hashlib.sha256(b"content").hexdigest())
    with pytest.raises(tool.InstallError, match=r"archive\.tar\.gz has SHA-256 ed7002b4.*expected 5d2e9e51"):
        tool.check_hash(file)


def test_unpacking_drops_the_extension_and_keeps_the_model_zoo(archive: Path, tmp_path: Path) -> None:
    project = tool.unpack_without_extension(archive, tmp_path / "unpacked")
    assert project.name == "pb1-detectron2-0.6"
    assert (project / "setup.py").read_text() == 'setup(install_requires=["tqdm", "black"], ext_modules=[])\n'
    assert (project / "configs" / "Base.yaml").is_file()


def test_unknown_setup_is_refused(monkeypatch: pytest.MonkeyPatch, archive: Path, tmp_path: Path) -> None:
    monkeypatch.setattr(tool, "SETUP_EDITS", {"ext_modules=other()": "ext_modules=[]"})
    with pytest.raises(tool.InstallError, match=r"setup\.py should contain 'ext_modules=other\(\)' once"):
        tool.unpack_without_extension(archive, tmp_path / "unpacked")


def test_failure_of_pip_shows_its_output() -> None:
    with pytest.raises(tool.InstallError, match='(?s)pip no-such-command failed:.*unknown command "no-such-command"'):
        tool.run_pip("no-such-command")
