"""Lists of images: text files with which a user keeps a part of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def list_files(pairs: Sequence[Sequence[str]], sources: Sequence[str]) -> dict[str, str]:
    """DATASETS.LISTS as a dict: data set name -> text file.

    Raises:
        ValueError: an entry is no pair of strings, or its data set is named twice or is not among the sources.
    """
    files: dict[str, str] = {}
    for pair in pairs:
        if isinstance(pair, str) or len(pair) != 2 or not all(isinstance(value, str) for value in pair):
            raise ValueError(f"DATASETS.LISTS: {pair!r} is no pair (data set name, text file)")
        name, file = pair
        if name in files:
            raise ValueError(f"DATASETS.LISTS names {name!r} twice, with {files[name]} and {file}; merge the two files")
        if name not in sources:
            raise ValueError(
                f"DATASETS.LISTS: {name!r}, with the list {file}, is not among DATASETS.SOURCE = {tuple(sources)}. "
                "Add it there or remove the pair"
            )
        files[name] = file
    return files


def keep_listed(dataset_dicts: Sequence[dict[str, Any]], name: str, list_file: str) -> list[dict[str, Any]]:
    """The entries of a data set that a list names, in the order of the data set.

    Args:
        dataset_dicts: all entries.
        name: of the data set, for messages.
        list_file: text file with an image id or a file name (its folders do not matter) per line; `#` begins a
            comment. Relative to the working directory.

    Raises:
        FileNotFoundError: there is no such list.
        ValueError: the list is empty or no text, or a line names no image of the data set.
    """
    path = Path(list_file).expanduser()
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text file ({error}); write one image id per line") from error
    except OSError as error:
        raise FileNotFoundError(
            f"{path} cannot be read ({error.strerror}): DATASETS.LISTS names it for {name}. "
            "Correct the path, which is relative to the working directory, or remove the pair"
        ) from error
    index_of = {item["image_id"]: index for index, item in enumerate(dataset_dicts)}
    index_of.update({Path(item["file_name"]).name: index for index, item in enumerate(dataset_dicts)})
    kept = set()
    for number, line in enumerate(text.splitlines(), start=1):
        entry = line.partition("#")[0].strip()
        if not entry:
            continue
        image = entry.replace("\\", "/").rpartition("/")[2]
        if image not in index_of:
            raise ValueError(
                f"{path}, line {number}: {entry!r} is no image of {name}, whose {len(dataset_dicts)} ids are like "
                f"{dataset_dicts[0]['image_id']!r}. Correct or remove the line"
            )
        kept.add(index_of[image])
    if not kept:
        raise ValueError(
            f"{path} names no image of {name}: write one image id per line, or remove it from DATASETS.LISTS"
        )
    return [dataset_dicts[index] for index in sorted(kept)]
