"""The split by plant: parts are disjoint, cover all plants in 60/20/20 %, and depend on nothing but names and seed."""

from __future__ import annotations

import json
from pathlib import Path

from ptseg_d2.data.datasets.plant_split import PARTS, Split, make_split, read_or_make_split, write_split

import pytest


def plants(**numbers: int) -> list[str]:
    return [f"{subset}/plant{number:03d}" for subset, count in numbers.items() for number in range(1, count + 1)]


def sizes(split: Split) -> list[int]:
    return [len(split.plants[part]) for part in PARTS]


@pytest.mark.parametrize(
    ("number", "expected"), [(3, [1, 1, 1]), (4, [2, 1, 1]), (5, [3, 1, 1]), (10, [6, 2, 2]), (128, [76, 26, 26])]
)
def test_three_fifths_train_and_every_part_has_a_plant(number: int, expected: list[int]) -> None:
    split = make_split(plants(A1=number))
    assert sizes(split) == expected
    assert sorted(plant for part in split.plants.values() for plant in part) == plants(A1=number)


def test_every_subset_is_spread_over_the_parts() -> None:
    split = make_split(plants(A1=128, A2=31, A3=27, A4=624))
    assert sizes(split) == [486, 162, 162]  # of the 810 of the challenge
    for subset, count in {"A1": 128, "A2": 31, "A3": 27, "A4": 624}.items():
        of_subset = [sum(plant.startswith(subset) for plant in split.plants[part]) for part in PARTS]
        assert of_subset == pytest.approx([0.6 * count, 0.2 * count, 0.2 * count], abs=1.01)


def test_only_names_and_seed_decide() -> None:
    names = plants(A1=20, A3=10)
    assert make_split(names[::-1]) == make_split(names)
    assert make_split(names, seed=1).plants != make_split(names, seed=0).plants
    assert make_split(plants(A1=5)).plants == make_split(plants(A1=5)).plants


def test_two_plants_are_too_few() -> None:
    with pytest.raises(ValueError, match=r"2 plant\(s\) \(A1/plant001, A1/plant002\).*needs at least 3 plants"):
        make_split(plants(A1=2))


def test_the_file_decides_if_there_is_one(tmp_path: Path) -> None:
    names = plants(A1=5)
    assert read_or_make_split(tmp_path, names) == make_split(names, seed=0)
    file = write_split(tmp_path, make_split(names, seed=7))
    assert read_or_make_split(tmp_path, names) == make_split(names, seed=7)
    by_hand = {"seed": 0, "plants": {"train": names[2:], "val": names[:1], "test": names[1:2]}}
    file.write_text(json.dumps(by_hand))
    assert read_or_make_split(tmp_path, names).plants == by_hand["plants"]


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (["A1/plant003"], r"A1/plant004 \(1 plants\) has labels but is in no part"),
        (["A1/plant003", "A1/plant004", "A1/plant001"], r"A1/plant001 \(1 plants\) is named twice"),
        (
            ["A1/plant003", "A1/plant004", "A2/plant9", "A2/plant8"],
            r"A2/plant8 \(2 plants\) has no labelled photograph",
        ),
        ([], r"no plant in train"),
    ],
)
def test_a_file_of_other_plants_is_refused(tmp_path: Path, train: list[str], message: str) -> None:
    write_split(tmp_path, Split(0, {"train": train, "val": ["A1/plant001"], "test": ["A1/plant002"]}))
    with pytest.raises(ValueError, match=rf"split\.json.*{message}.*prepare_cvppp\.py --overwrite"):
        read_or_make_split(tmp_path, plants(A1=4))


@pytest.mark.parametrize("content", ["", "[]", '{"seed": 0}', '{"seed": 0, "plants": {"train": ["A1/plant001"]}}'])
def test_a_file_that_is_no_split_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "split.json").write_text(content)
    with pytest.raises(ValueError, match=r"split\.json is no split file .*expected.*\"seed\": 0"):
        read_or_make_split(tmp_path, plants(A1=4))
