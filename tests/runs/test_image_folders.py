"""A folder for a file per image: all of it or nothing, and never in place of something else."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ptseg_d2.errors import DataError
from ptseg_d2.runs.image_folders import each_readable, replaced_folder

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


def test_unreadable_images_are_named_and_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """What is wrong with the data is a warning; what is wrong with the program is an error."""
    errors: dict[str, Exception] = {"b": DataError("b.png is no image"), "d": OSError("d.png: no such file")}

    def read(item: Mapping[str, Any]) -> str:
        if item["image_id"] in errors:
            raise errors[item["image_id"]]
        return str(item["image_id"]).upper()

    skipped = ["earlier"]
    items = [{"image_id": name} for name in "abcd"]
    with caplog.at_level(logging.WARNING):
        assert list(each_readable(items, read, "images", skipped)) == [("a", "A"), ("c", "C")]
    assert skipped == ["earlier", "b", "d"]
    assert [record.getMessage() for record in caplog.records] == [
        f"Skipping a target image: {error}" for error in errors.values()
    ]
    errors["a"] = ValueError("our mistake")
    with pytest.raises(ValueError, match="our mistake"):
        list(each_readable(items, read, "images", skipped))
