"""A file or folder is replaced as a whole, or stays what it was."""

from __future__ import annotations

import os
from pathlib import Path

from ptseg_d2.atomic import replace_folder, replaced_file, write_atomically

import numpy as np
import pytest


@pytest.mark.parametrize("content", ["Straße\n", b"\x00\xff"])
def test_content_takes_the_place_of_the_older_one(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "done.json"
    for _ in range(2):
        write_atomically(path, content)
        assert path.read_bytes() == (content if isinstance(content, bytes) else content.encode("utf-8"))
    assert os.listdir(tmp_path) == ["done.json"]


def test_an_error_leaves_the_older_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "done.json"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), replaced_file(path) as place:
        place.write_text("ha")
        assert path.read_text() == "old"
        raise KeyboardInterrupt
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["done.json"]


def test_writers_that_choose_a_format_by_the_name(tmp_path: Path) -> None:
    with replaced_file(tmp_path / "counts.npz") as place:
        assert place.name.startswith(".")
        np.savez(place, counts=np.arange(3))
    assert np.load(tmp_path / "counts.npz")["counts"].tolist() == [0, 1, 2]
    assert os.listdir(tmp_path) == ["counts.npz"]


def test_two_writers_at_once(tmp_path: Path) -> None:
    """Both files are whole, the last one stays."""
    with replaced_file(tmp_path / "a.txt") as first:
        first.write_text("first")
        write_atomically(tmp_path / "a.txt", "second")
        assert first.read_text() == "first"
    assert (tmp_path / "a.txt").read_text() == "first" and os.listdir(tmp_path) == ["a.txt"]


def test_a_new_file_has_the_rights_of_any_other(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_atomically(tmp_path / "atomic", "")
    assert (tmp_path / "plain").stat().st_mode == (tmp_path / "atomic").stat().st_mode


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("killed_before", [True, False])
def test_folder_takes_the_place_of_the_older_one(tmp_path: Path, exists: bool, killed_before: bool) -> None:
    new, folder = tmp_path / "new", tmp_path / "masks"
    for made in [new] + [folder] * exists + [tmp_path / ".masks.replaced"] * killed_before:
        made.mkdir()
        (made / f"of_{made.name}").touch()
    replace_folder(new, folder)
    assert os.listdir(tmp_path) == ["masks"] and os.listdir(folder) == ["of_new"]
