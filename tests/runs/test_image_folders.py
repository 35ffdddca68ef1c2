"""A folder for a file per image: all of it or nothing, and never in place of something else."""

from __future__ import annotations

from pathlib import Path

from ptseg_d2.runs.image_folders import replaced_folder

import pytest


def fill(folder: Path, text: str) -> None:
    with replaced_folder(folder) as partial:
        (partial / "index.json").write_text(text)


def test_an_older_folder_is_replaced(tmp_path: Path) -> None:
    fill(tmp_path / "masks", "old")
    (tmp_path / "masks" / "old.png").touch()
    fill(tmp_path / "masks", "new")
    assert [path.name for path in (tmp_path / "masks").iterdir()] == ["index.json"]
    assert (tmp_path / "masks" / "index.json").read_text() == "new"


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    fill(tmp_path / "masks", "new")
    assert (tmp_path / "masks" / "index.json").exists()


def test_an_error_leaves_the_older_folder(tmp_path: Path) -> None:
    fill(tmp_path / "masks", "old")
    with pytest.raises(RuntimeError), replaced_folder(tmp_path / "masks"):
        raise RuntimeError
    assert (tmp_path / "masks" / "index.json").read_text() == "old"


@pytest.mark.parametrize("is_file", [True, False])
def test_what_is_no_such_folder_stays(tmp_path: Path, is_file: bool) -> None:
    precious = tmp_path / "run" if is_file else tmp_path / "run" / "model_final.pth"
    precious.parent.mkdir(exist_ok=True)
    precious.touch()
    with pytest.raises(ValueError, match=r"run exists and would be replaced, but it has no index.json.*name a new"):
        fill(tmp_path / "run", "new")
    assert precious.exists()


def test_a_kill_between_the_two_folders_is_made_good(tmp_path: Path) -> None:
    for state in ("partial", "replaced"):
        (tmp_path / f".masks.{state}").mkdir()
        (tmp_path / f".masks.{state}" / "0.png").touch()
    fill(tmp_path / "masks", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["masks"]
    assert [path.name for path in (tmp_path / "masks").iterdir()] == ["index.json"]
