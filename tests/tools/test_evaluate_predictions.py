"""Scoring anybody's COCO-panoptic files: panopticapi's numbers, any number of processes, errors that name the file."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ptseg_d2.errors import DataError
from ptseg_d2.evaluation.panoptic_files import read_panoptic_png
from ptseg_d2.panoptic_ids import ids_to_rgb

import cv2
import evaluate_predictions
import numpy as np
import pytest
from evaluate_predictions import build_parser, evaluate, main
from panopticapi.evaluation import pq_compute
from PIL import Image
from references_evaluation import random_pair

TOOL = str(Path(evaluate_predictions.__file__))
CATEGORY_IDS = [7, 40, 41, 100, 9000]  # the last one occurs nowhere
CATEGORIES = [{"id": i, "name": f"kind {i % 100}", "isthing": int(i > 40)} for i in CATEGORY_IDS]
NUM_IMAGES = 5


def write_folders(folder: Path, seed: int = 0) -> None:
    """gt.json, gt/, pred.json, pred/ with void, crowds, wrong classes and missed segments."""
    rng = np.random.default_rng(seed)
    sides: dict[str, list[dict[str, Any]]] = {"gt": [], "pred": []}
    for index in range(NUM_IMAGES):
        pred_ids, pred_segments, gt_ids, gt_segments = random_pair(rng, CATEGORY_IDS[:4], num_ids=6 + index)
        for name, ids, segments in (("gt", gt_ids, gt_segments), ("pred", pred_ids, pred_segments)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            file_name = f"{name}_{index}.png"
            Image.fromarray(ids_to_rgb(ids)).save(folder / name / file_name)
            sides[name].append({"image_id": 10 * index, "file_name": file_name, "segments_info": segments})
    sides["pred"].append({"image_id": "other", "file_name": "none.png", "segments_info": []})  # left aside
    for name, entries in sides.items():
        content = {"annotations": entries[::-1], **({"categories": CATEGORIES} if name == "gt" else {})}
        (folder / f"{name}.json").write_text(json.dumps(content))


def arguments(folder: Path, *more: str) -> list[str]:
    return ["--gt", str(folder / "gt.json"), "--pred", str(folder / "pred.json"), *more]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_folders(tmp_path)
    return tmp_path


@pytest.mark.parametrize("seed", range(4))
def test_equals_panopticapi(tmp_path: Path, seed: int) -> None:
    write_folders(tmp_path, seed)
    ours = evaluate(build_parser().parse_args(arguments(tmp_path)))
    theirs = pq_compute(str(tmp_path / "gt.json"), str(tmp_path / "pred.json"))
    assert ours["images"] == NUM_IMAGES and 0 < ours["panoptic"]["PQ"] < 100
    for group, suffix in (("All", ""), ("Things", "_th"), ("Stuff", "_st")):
        for key in ("pq", "sq", "rq"):
            assert ours["panoptic"][key.upper() + suffix] == pytest.approx(100 * theirs[group][key], abs=1e-9)
    for category in CATEGORIES:
        for key, value in theirs["per_class"][category["id"]].items():
            found = ours["panoptic"]["per_class"][name_of(category)][key.upper()]
            assert (found or 0) == pytest.approx(100 * value, abs=1e-9)
    assert ours["panoptic"]["per_class"]["kind 0 (9000)"]["PQ"] is None


def name_of(category: dict[str, Any]) -> str:
    """Two categories have one name, which gets their ids."""
    is_double = category["id"] in (100, 9000)
    return f"{category['name']} ({category['id']})" if is_double else str(category["name"])


def test_processes_give_the_same_bits(folder: Path) -> None:
    alone, many = (evaluate(build_parser().parse_args(arguments(folder, "--num-workers", n))) for n in ("0", "3"))
    assert alone == many
    assert alone["panoptic"]["ci95"]["PQ"][0] < alone["panoptic"]["PQ"] < alone["panoptic"]["ci95"]["PQ"][1]


def test_table_and_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(build_parser().parse_args(arguments(folder, "--output", str(folder / "results.json"))))
    results = json.loads((folder / "results.json").read_text())
    printed = capsys.readouterr().out
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in printed.splitlines() if "|" in line]
    scores = results["panoptic"]
    low, high = scores["ci95"]["SQ_th"]
    assert lines[0] == ["", "PQ", "SQ", "RQ", "classes that occur"]
    assert [line[0] for line in lines[2:6]] == ["all", "things", "stuff", "PQ_plus, all"]
    assert lines[3][2] == f"{scores['SQ_th']:.2f} [{low:.2f}, {high:.2f}]"
    assert [line[-1] for line in lines[2:5]] == ["4", "2", "2"]
    rows = {line[0]: line[1:] for line in lines[8:]}
    assert rows["kind 7"][:2] == ["stuff", f"{scores['per_class']['kind 7']['PQ']:.2f}"]
    assert rows["kind 0 (9000)"] == ["thing", "-", "-", "-", "0", "0", "0"]


def test_without_intervals_and_with_other_folders(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("gt", "pred"):
        (folder / name).rename(folder / f"{name}_pngs")
    more = ("--gt-folder", str(folder / "gt_pngs"), "--pred-folder", str(folder / "pred_pngs"), "--bootstrap", "0")
    main(build_parser().parse_args(arguments(folder, *more)))
    assert "[" not in capsys.readouterr().out


def edit_json(folder: Path, name: str, change: Callable[[Any], Any]) -> None:
    content = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(change(content)))


def with_segment(key: str, value: Any) -> Callable[[Any], Any]:
    """Changes a value of the first segment of the first image."""

    def change(content: Any) -> Any:
        content = copy.deepcopy(content)
        content["annotations"][0]["segments_info"][0][key] = value
        return content

    return change


def write_picture(folder: Path, name: str, picture: np.ndarray) -> None:
    cv2.imwrite(str(folder / name), picture)


def spoil(folder: Path, name: str, change: Callable[[bytearray], Any]) -> None:
    data = bytearray((folder / name).read_bytes())
    change(data)
    (folder / name).write_bytes(data)


def invert(data: bytearray) -> None:
    """Another byte in the middle of the pixels."""
    data[len(data) // 2] ^= 255


SPOILED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no json": (lambda d: (d / "gt.json").unlink(), r"gt\.json not found"),
    "no folder": (lambda d: (d / "pred").rename(d / "elsewhere"), r"pred, the folder with the PNGs of .*pred\.json"),
    "not json": (lambda d: (d / "pred.json").write_text("{"), r"pred\.json: not valid JSON"),
    "no panoptic format": (lambda d: (d / "pred.json").write_text("{}"), r"pred\.json: not in the COCO panoptic form"),
    "a list": (lambda d: (d / "pred.json").write_text("[1]"), r"pred\.json: not in the COCO panoptic format"),
    "no categories": (
        lambda d: edit_json(d, "gt.json", lambda c: {"annotations": c["annotations"]}),
        r"gt\.json: not in the COCO panoptic format \(no 'categories'\)",
    ),
    "detections": (
        lambda d: edit_json(d, "pred.json", lambda c: {"annotations": [{"image_id": 1, "bbox": [1, 2, 3, 4]}]}),
        r"pred\.json: not in the COCO panoptic format \(no 'file_name'\)",
    ),
    "id twice": (lambda d: edit_json(d, "gt.json", with_segment("id", 2)), r"gt\.json: .*positive and unique"),
    "id of text": (lambda d: edit_json(d, "gt.json", with_segment("id", "2")), r"gt\.json: .*id '2' .*no whole number"),
    "image missing": (
        lambda d: edit_json(d, "pred.json", lambda c: {"annotations": c["annotations"][:-1]}),
        r"pred\.json: no prediction for image 0 of .*gt\.json",
    ),
    "image twice": (
        lambda d: edit_json(d, "pred.json", lambda c: {"annotations": c["annotations"] + c["annotations"][2:3]}),
        r"pred\.json: image 30 has several annotations",
    ),
    "category": (
        lambda d: edit_json(d, "gt.json", lambda c: {**c, "categories": c["categories"][1:]}),
        r"(gt|pred)\.json: unknown category_id 7 in image \d+",
    ),
    "png missing": (lambda d: (d / "pred" / "pred_2.png").unlink(), r"pred_2\.png"),
    "size": (
        lambda d: write_picture(d, "gt/gt_2.png", np.zeros((24, 39, 3), np.uint8)),
        r"pred_2\.png: 40 x 24 pixels, but 39 x 24 in .*gt_2\.png",
    ),
    "not in json": (
        lambda d: write_picture(d, "pred/pred_2.png", np.full((24, 40, 3), 3, np.uint8)),
        r"pred_2\.png and .*pred\.json: predicted segment 197379 is in the map but not in its segments_info",
    ),
    "truncated": (
        lambda d: spoil(d, "pred/pred_2.png", lambda b: b.__delitem__(slice(-40, None))),
        r"pred_2\.png: dam",
    ),
    "damaged": (lambda d: spoil(d, "gt/gt_2.png", invert), r"gt_2\.png: damaged or truncated PNG"),
    "empty": (lambda d: spoil(d, "gt/gt_2.png", bytearray.clear), r"gt_2\.png: not a PNG file"),
    "grey": (
        lambda d: write_picture(d, "pred/pred_2.png", np.zeros((24, 40), np.uint8)),
        r"pred_2\.png: expected 8-bit RGB with id = R \+ 256 G \+ 65536 B, got uint8 of shape \(24, 40\)",
    ),
}


@pytest.mark.parametrize("name", SPOILED)
def test_errors_name_the_file(folder: Path, name: str) -> None:
    damage, message = SPOILED[name]
    damage(folder)
    with pytest.raises((DataError, OSError), match=message) as error:
        evaluate(build_parser().parse_args(arguments(folder)))
    assert "\n" not in str(error.value)


def test_the_command_ends_with_one_line(folder: Path) -> None:
    (folder / "pred" / "pred_2.png").unlink()
    command = [sys.executable, TOOL, *arguments(folder, "--num-workers", "2")]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 1 and finished.stdout == ""
    assert finished.stderr.splitlines()[-1].startswith("error: ")
    assert "pred_2.png" in finished.stderr.splitlines()[-1] and "Traceback" not in finished.stderr


def test_picture_with_transparency_and_large_ids(tmp_path: Path) -> None:
    ids = np.random.default_rng(0).integers(0, 2**24, (5, 7))
    rgb = ids_to_rgb(ids)
    for name, picture in (("rgb.png", rgb), ("rgba.png", np.dstack([rgb, np.full((5, 7), 9, np.uint8)]))):
        Image.fromarray(picture).save(tmp_path / name)
        found = read_panoptic_png(tmp_path / name)
        assert found.dtype == np.int32 and found.tolist() == ids.tolist()
