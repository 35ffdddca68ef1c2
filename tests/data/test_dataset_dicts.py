"""Lists of images: what is kept, and the errors that name file and line."""

from __future__ import annotations

from pathlib import Path

from ptseg_d2.data.dataset_dicts import keep_listed, list_files

import pytest

DICTS = [{"image_id": f"a{i}", "file_name": f"/data/a{i}_image.png"} for i in range(4)]


def write(folder: Path, text: str) -> str:
    path = folder / "list.txt"
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    "text",
    ["a3\na1\n", "# part\n\n a1  # why\r\na3\na1", "a1_image.png\nsome/where/a3_image.png", "x\\a3_image.png\na1"],
)
def test_listed_images_in_the_order_of_the_data_set(text: str, tmp_path: Path) -> None:
    assert keep_listed(DICTS, "set", write(tmp_path, text)) == [DICTS[1], DICTS[3]]


def test_files_of_one_name_in_several_folders(tmp_path: Path) -> None:
    dicts = [{"image_id": f"A{i}_plant", "file_name": f"/data/A{i}/plant_rgb.png"} for i in (1, 2, 3)]
    assert keep_listed(dicts, "set", write(tmp_path, "A2/plant_rgb.png\nA3_plant")) == dicts[1:]
    with pytest.raises(ValueError, match=r"line 2: 'plant_rgb\.png' names 3 images of set\. Write .* 'A1_plant'"):
        keep_listed(dicts, "set", write(tmp_path, "A1_plant\nplant_rgb.png"))
    with pytest.raises(ValueError, match=r"'B/plant_rgb\.png' is no image of set"):
        keep_listed(dicts, "set", write(tmp_path, "B/plant_rgb.png"))


def test_unknown_image_names_file_and_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"list\.txt, line 3: 'b7' is no image of set, whose 4 ids are like 'a0'"):
        keep_listed(DICTS, "set", write(tmp_path, "a1\n\nb7\n"))


@pytest.mark.parametrize("text", ["", "# a1\n\n"])
def test_empty_list(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"list\.txt names no image of set.*DATASETS\.LISTS"):
        keep_listed(DICTS, "set", write(tmp_path, text))


def test_missing_list_and_binary_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.txt cannot be read .*DATASETS\.LISTS names it for set"):
        keep_listed(DICTS, "set", str(tmp_path / "gone.txt"))
    (tmp_path / "image.png").write_bytes(b"\x89PNG\xff")
    with pytest.raises(ValueError, match=r"image\.png is no text file"):
        keep_listed(DICTS, "set", str(tmp_path / "image.png"))


def test_pairs_become_a_dict() -> None:
    assert list_files([("a", "a.txt"), ["b", "b.txt"]], ("b", "a")) == {"a": "a.txt", "b": "b.txt"}
    assert list_files([], ("a",)) == {}


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (["a", "a.txt"], r"'a' is no pair \(data set name, text file\)"),
        ([("a",)], r"\('a',\) is no pair"),
        ([("a", 3)], r"\('a', 3\) is no pair"),
        ([("c", "c.txt")], r"'c', with the list c\.txt, is not among DATASETS\.SOURCE = \('a', 'b'\)"),
        ([("a", "x.txt"), ("a", "y.txt")], r"'a' twice, with x\.txt and y\.txt"),
    ],
)
def test_wrong_pairs(pairs: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list_files(pairs, ("a", "b"))
