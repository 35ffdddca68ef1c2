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
        list_file: text file with an image id or a file name per line, whose folders matter only where the data set
            has several files of that name; `#` begins a comment. Relative to the working directory.

    Raises:
        FileNotFoundError: there is no such list.
        ValueError: the list is empty or no text, or a line names no image of the data set or several.
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
    indices_of: dict[str, list[int]] = {}
    for index, item in enumerate(dataset_dicts):
        for key in {item["image_id"], Path(item["file_name"]).name}:
            indices_of.setdefault(key, []).append(index)
    kept = set()
    for number, line in enumerate(text.splitlines(), start=1):
        entry = line.partition("#")[0].strip()
        if not entry:
            continue
        indices = _matches(entry, dataset_dicts, indices_of)
        if len(indices) > 1:
            raise ValueError(
                f"{path}, line {number}: {entry!r} names {len(indices)} images of {name}. Write the id of one, such as "
                f"{dataset_dicts[indices[0]]['image_id']!r}, or its file name with the folder"
            )
        if not indices:
            raise ValueError(
                f"{path}, line {number}: {entry!r} is no image of {name}, whose {len(dataset_dicts)} ids are like "
                f"{dataset_dicts[0]['image_id']!r}. Correct or remove the line"
            )
        kept.add(indices[0])
    if not kept:
        raise ValueError(
            f"{path} names no image of {name}: write one image id per line, or remove it from DATASETS.LISTS"
        )
    return [dataset_dicts[index] for index in sorted(kept)]


def _matches(entry: str, dataset_dicts: Sequence[dict[str, Any]], indices_of: dict[str, list[int]]) -> list[int]:
    """Indices of the entries that a line means: by id or name, among several of that name by their folders."""
    named = entry.replace("\\", "/")
    indices = indices_of.get(named.rpartition("/")[2], [])
    if len(indices) < 2:
        return indices
    files = {index: Path(dataset_dicts[index]["file_name"]).as_posix() for index in indices}
    return [index for index, file in files.items() if f"/{file}".endswith(f"/{named}")]
