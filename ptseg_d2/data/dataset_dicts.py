"""Detectron2's dataset dicts of a stage: which registered data sets, joined with which files of earlier stages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ptseg_d2.stages import StageInputs

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog


def source_dicts(cfg: CfgNode) -> list[tuple[str, list[dict[str, Any]]]]:
    """Data sets of DATASETS.SOURCE with their entries, without the images that DATASETS.LISTS leaves out."""
    lists = list_files(cfg.DATASETS.LISTS, cfg.DATASETS.SOURCE)
    _check_names(cfg.DATASETS.SOURCE, "DATASETS.SOURCE")
    parts = []
    for name in cfg.DATASETS.SOURCE:
        dicts = load_dataset((name,), "DATASETS.SOURCE")
        parts.append((name, keep_listed(dicts, name, lists[name]) if name in lists else dicts))
    return parts


def target_dicts(cfg: CfgNode, inputs: StageInputs) -> list[dict[str, Any]]:
    """DATASETS.TARGET, joined with the predicted masks, guidance and detections of earlier stages by image id.

    Args:
        cfg: of the stage.
        inputs: of it.
    """
    dicts = load_dataset(cfg.DATASETS.TARGET, "DATASETS.TARGET")
    if inputs.masks:
        dicts = _with_files(dicts, inputs.masks, "class_mask")
    if inputs.guidance:
        dicts = _with_files(dicts, inputs.guidance, "guidance_mask")
    if inputs.detections:
        dicts = _with_files(dicts, inputs.detections, "detected_instance")
    return dicts


def _with_files(dicts: list[dict[str, Any]], index_file: str, kind: str) -> list[dict[str, Any]]:
    """Entries with the mask that an index names for them; those of images that could not be read are left out.

    Args:
        dicts: entries of the target.
        index_file: index.json, see `ptseg_d2.recipe.target_files.masks`.
        kind: "class_mask" (with the shares of the classes), "guidance_mask" or "detected_instance".
    """
    index = Path(index_file)
    if not index.exists():
        raise FileNotFoundError(
            f"{index} not found; run the stage that makes it (RECIPE.MASKS_FROM, or RECIPE.DETECTIONS_FROM for "
            "detections), or tools/predict_masks.py and set INPUT.PREDICTED_MASKS to the index.json that it writes"
        )
    content = json.loads(index.read_text(encoding="utf-8"))
    found = content["images"]
    dicts = [item for item in dicts if item["image_id"] not in content.get("skipped", [])]
    missing = [item["file_name"] for item in dicts if item["image_id"] not in found]
    if missing:
        raise ValueError(
            f"{index_file} has no mask of {missing[0]} and {len(missing) - 1} others: it was made "
            "for other DATASETS.TARGET. Delete the folder of that stage and run again."
        )
    joined = []
    for item in dicts:
        entry = found[item["image_id"]]
        shares = {"class_shares": entry["class_shares"]} if kind == "class_mask" else {}
        joined.append({**item, f"{kind}_file_name": str(index.parent / entry["mask"]), **shares})
    return joined


def load_dataset(names: Sequence[str], key: str) -> list[dict[str, Any]]:
    """Registered data sets, concatenated.

    Raises:
        ValueError: no name is given, a name is not registered, or there is no image.
    """
    _check_names(names, key)
    dicts = [item for name in names for item in DatasetCatalog.get(name)]
    if not dicts:
        raise ValueError(f"{key} = {tuple(names)} holds no image")
    return dicts


def _check_names(names: Sequence[str], key: str) -> None:
    if not names:
        raise ValueError(f"{key} is empty: name at least one registered data set")
    unknown = [name for name in names if name not in DatasetCatalog.list()]
    if unknown:
        known = ", ".join(name for name in DatasetCatalog.list() if "labeled" in name)
        raise ValueError(f"{key}: data set {unknown[0]!r} is not registered; expected one of: {known}")


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
