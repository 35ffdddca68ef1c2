"""Which plants are for training, validation and test: 60/20/20 %, by plant, from a seed, in a file if one is written.

The challenge publishes no split of its labelled photographs. Pictures of one plant always fall into one part, and every
sub-data-set is spread over the parts in the same proportion.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ptseg_d2.counting import number_of

import numpy as np

PARTS = ("train", "val", "test")
SHARE = 0.2  # of the plants, for val and for test each
SEED = 0
SPLIT_FILE = "split.json"
REMEDY = "Delete it for the default split, or write it anew with: python datasets/prepare_cvppp.py --overwrite"


@dataclass(frozen=True)
class Split:
    """Plants of each part.

    Attributes:
        seed: that the split was drawn with.
        plants: "train", "val" and "test" -> names of plants like "A1/plant007", disjoint.
    """

    seed: int
    plants: dict[str, list[str]]


def make_split(plants: Sequence[str], seed: int = SEED) -> Split:
    """A random split of plants, the same for the same names and seed on every machine.

    Args:
        plants: distinct names like "A1/plant007", in any order; the part before "/" is the sub-data-set.
        seed: non-negative.

    Raises:
        ValueError: fewer than three plants.
    """
    if len(plants) < len(PARTS):
        raise ValueError(
            f"labelled photographs of {len(plants)} plant(s) ({', '.join(sorted(plants))}): a split into "
            f"{', '.join(PARTS)} needs at least {len(PARTS)} plants. A plant is the number in plantNNN_rgb.png: number "
            "pictures of different plants differently, or add more"
        )
    by_subset: dict[str, list[str]] = {}
    for plant in sorted(plants):
        by_subset.setdefault(plant.split("/")[0], []).append(plant)
    rng = np.random.default_rng(seed)
    places: list[tuple[float, str]] = []  # each sub-data-set spread evenly over 0..1
    for members in by_subset.values():
        order = rng.permutation(len(members)).tolist()
        places += [((rank + 0.5) / len(members), members[index]) for rank, index in enumerate(order)]
    ordered = [plant for _, plant in sorted(places)]
    held_out = number_of(SHARE, len(ordered), at_least=1)
    first_test = len(ordered) - held_out
    first_val = first_test - held_out
    parts = (ordered[:first_val], ordered[first_val:first_test], ordered[first_test:])
    return Split(seed, {name: sorted(part) for name, part in zip(PARTS, parts)})


def read_or_make_split(folder: Path, plants: Sequence[str]) -> Split:
    """The split in the folder's split file, or the default one without such a file.

    Args:
        folder: of the data set.
        plants: all plants with labels in it.

    Raises:
        ValueError: the file is no split, or one of other plants; or there are fewer than three plants.
    """
    file = folder / SPLIT_FILE
    if not file.is_file():
        return make_split(plants)
    split = _read(file)
    listed = [plant for part in split.plants.values() for plant in part]
    twice = sorted({plant for plant in listed if listed.count(plant) > 1})
    left_out, absent = sorted(set(plants) - set(listed)), sorted(set(listed) - set(plants))
    problems = [
        f"{names[0]} ({len(names)} plants) {what}"
        for names, what in (
            (twice, "is named twice"),
            (left_out, "has labels but is in no part"),
            (absent, "has no labelled photograph here"),
        )
        if names
    ]
    if problems:
        raise ValueError(f"{file} does not fit the photographs: {'; '.join(problems)}. {REMEDY}")
    return split


def write_split(folder: Path, split: Split) -> Path:
    """Writes a folder's split file and returns its path."""
    file = folder / SPLIT_FILE
    file.write_text(json.dumps({"seed": split.seed, "plants": split.plants}, indent=1) + "\n", encoding="utf-8")
    return file


def count_by_part(split: Split) -> str:
    """How many plants each part has, "train 77, val 26, test 25"."""
    return ", ".join(f"{part} {len(plants)}" for part, plants in split.plants.items())


def _read(file: Path) -> Split:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        seed, plants = int(content["seed"]), content["plants"]
        parts = {part: [str(plant) for plant in plants[part]] for part in PARTS}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{file} is no split file ({type(error).__name__}: {error}); expected "
            f'{{"seed": 0, "plants": {{"train": ["A1/plant001", ...], "val": [...], "test": [...]}}}}. {REMEDY}'
        ) from error
    empty = [part for part, members in parts.items() if not members]
    if empty:
        raise ValueError(f"{file}: no plant in {', '.join(empty)}. {REMEDY}")
    return Split(seed, parts)
