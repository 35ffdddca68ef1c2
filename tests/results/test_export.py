"""The export while a data set is predicted, and its tool: formats, labels or none, processes, wrong requests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ptseg_d2.classes.streets import CLASS_NAMES
from ptseg_d2.errors import RecipeError
from ptseg_d2.evaluation.ground_truth import GroundTruthCache
from ptseg_d2.results import export as export_module
from ptseg_d2.results.export import PanopticExport
from ptseg_d2.results.row import Row
from ptseg_d2.results.rows import ResultRows

import cv2
import export_coco_panoptic
import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog
from tiny import CONFIGS, TINY

VAL, TRAIN = "miniscapes_cityscapes_labeled_val", "miniscapes_cityscapes_unlabeled_train"
ROAD, CAR = 0, 13


class HalfRoad(torch.nn.Module):
    """Predicts a car in the upper left quarter, road in the lower half, void elsewhere; sem_seg is all sky."""

    def forward(self, batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [predict(item["image"].shape[-2:]) for item in batch]


def predict(size: tuple[int, int]) -> dict[str, Any]:
    ids = torch.zeros(size, dtype=torch.int32)
    ids[: size[0] // 2, : size[1] // 2] = 1
    ids[size[0] // 2 :] = 2
    segments = [
        {"id": 1, "category_id": CAR, "isthing": True, "area": int((ids == 1).sum()), "score": 0.25},
        {"id": 2, "category_id": ROAD, "isthing": False, "area": int((ids == 2).sum()), "score": 1.0},
    ]
    scores = torch.zeros((len(CLASS_NAMES), *size))
    scores[CLASS_NAMES.index("sky")] = 1
    return {"panoptic_seg": (ids, segments), "sem_seg": scores, "other": (torch.zeros_like(ids), [])}


def process_all(export: PanopticExport, dataset: str) -> list[dict[str, Any]]:
    dicts: list[dict[str, Any]] = DatasetCatalog.get(dataset)
    for item in dicts:
        export.process([item], [predict((64, 128))])
    return dicts


def test_both_formats_of_a_labelled_data_set(world: Path, tmp_path: Path) -> None:
    cache = GroundTruthCache()
    export = PanopticExport(coco=tmp_path / "coco", cityscapes=tmp_path / "results", ground_truth=cache)
    assert not (tmp_path / "coco").exists()
    export.reset()
    dicts = process_all(export, VAL)
    export.evaluate()
    assert sorted(path.name for path in (tmp_path / "coco").iterdir()) == ["gt", "gt.json", "pred", "pred.json"]
    for name in ("pred", "gt"):
        content = json.loads((tmp_path / "coco" / f"{name}.json").read_text())
        assert [image["id"] for image in content["images"]] == [item["image_id"] for item in dicts]
    for item, annotation in zip(dicts, content["annotations"]):
        truth = cache.read(item)
        assert [s["id"] for s in annotation["segments_info"]] == [s["id"] for s in truth.segments]
    stem = dicts[0]["image_id"]
    numbers = cv2.imread(str(tmp_path / "results" / "instanceIds" / f"{stem}_instanceIds.png"), cv2.IMREAD_UNCHANGED)
    assert np.unique(numbers).tolist() == [0, 7, 26000]
    label_ids = cv2.imread(str(tmp_path / "results" / "labelIds" / f"{stem}_labelIds.png"), cv2.IMREAD_UNCHANGED)
    assert np.unique(label_ids).tolist() == [23]  # the classes of sem_seg, not those of the segments
    assert len(list((tmp_path / "results" / "instances").glob("*_pred.txt"))) == len(dicts)


def test_outputs_stay_as_they_are(world: Path, tmp_path: Path) -> None:
    output, same = predict((64, 128)), predict((64, 128))
    export = PanopticExport(coco=tmp_path, cityscapes=tmp_path / "results")
    export.reset()
    export.process(DatasetCatalog.get(VAL)[:1], [output])
    assert torch.equal(output["panoptic_seg"][0], same["panoptic_seg"][0])
    assert output["panoptic_seg"][1] == same["panoptic_seg"][1]


def test_a_data_set_without_labels_has_no_ground_truth(world: Path, tmp_path: Path) -> None:
    for dataset, expected in ((VAL, ["gt", "gt.json", "pred", "pred.json"]), (TRAIN, ["pred", "pred.json"])):
        export = PanopticExport(coco=tmp_path / "coco")
        export.reset()
        dicts = process_all(export, dataset)
        export.evaluate()
        # The ground truth of the labelled images does not stay beside predictions for others.
        assert sorted(path.name for path in (tmp_path / "coco").iterdir()) == expected
        assert len(list((tmp_path / "coco" / "pred").iterdir())) == len(dicts)


def test_another_output_and_a_second_pass(world: Path, tmp_path: Path) -> None:
    export = PanopticExport(coco=tmp_path, panoptic_key="other")
    for _ in range(2):
        export.reset()
        process_all(export, TRAIN)
        export.evaluate()
    content = json.loads((tmp_path / "pred.json").read_text())
    assert all(annotation["segments_info"] == [] for annotation in content["annotations"])


def test_two_processes_give_the_export_of_one(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dicts = DatasetCatalog.get(VAL)
    outputs = [predict((64, 128)) for _ in dicts]
    folders = {name: {"coco": tmp_path / name, "cityscapes": tmp_path / name / "results"} for name in ("one", "two")}
    alone, first, second = (PanopticExport(**folders[name]) for name in ("one", "two", "two"))  # type: ignore[arg-type]
    alone.reset()
    alone.process(dicts, outputs)
    alone.evaluate()

    (tmp_path / "two" / "pred.partial").mkdir(parents=True)
    (tmp_path / "two" / "pred.partial" / "left_by_a_killed_export.png").touch()
    first.reset()
    with monkeypatch.context() as patch:
        patch.setattr(export_module.comm, "is_main_process", lambda: False)
        second.reset()
        first.process(dicts[:2], outputs[:2])
        second.process(dicts[2:], outputs[2:])
        second.evaluate()  # not the main process: nothing is put in place
    assert not (tmp_path / "two" / "pred.json").exists()
    states = [(process._coco, process._cityscapes) for process in (first, second)]
    monkeypatch.setattr(export_module.comm, "gather", lambda state: states)
    first.evaluate()
    files = [contents(tmp_path / name) for name in ("one", "two")]
    assert files[0] == files[1] and len(files[0]) > 4 * len(dicts)


def contents(folder: Path) -> dict[str, bytes]:
    """Relative path -> bytes of every file below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def run_tool(output_dir: Path, *arguments: str) -> None:
    options = ["--config-file", str(CONFIGS / "selftrain_icm.yaml"), *arguments]
    options += ["--opts", *TINY, "OUTPUT_DIR", str(output_dir)]
    export_coco_panoptic.main(export_coco_panoptic.build_parser().parse_args(options))


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every row is the model above; the rows that were asked for."""
    asked: list[str] = []

    def panoptic(self: ResultRows, row: Row) -> HalfRoad:
        asked.append(row.name)
        return HalfRoad()

    monkeypatch.setattr(ResultRows, "panoptic", panoptic)
    return asked


def test_tool_has_a_folder_for_each_row_and_data_set(world: Path, tmp_path: Path, rows: list[str]) -> None:
    out = tmp_path / "out"
    run_tool(out)
    assert sorted(path.name for path in out.iterdir()) == ["coco_panoptic"]
    run_tool(out, "--format", "coco", "cityscapes", "--row", "source", "--dataset", TRAIN)
    run_tool(out, "--format", "cityscapes", "--output", str(tmp_path / "mine"))
    assert rows == ["selftrain", "source", "selftrain"]
    assert sorted(path.name for path in out.iterdir()) == [
        *("cityscapes_results_source_" + TRAIN, "coco_panoptic", "coco_panoptic_source_" + TRAIN)
    ]
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["cityscapes_results"]
    assert sorted(path.name for path in (out / "coco_panoptic").iterdir()) == ["gt", "gt.json", "pred", "pred.json"]
    without_labels = out / f"coco_panoptic_source_{TRAIN}"
    assert sorted(path.name for path in without_labels.iterdir()) == ["pred", "pred.json"]
    assert len(json.loads((without_labels / "pred.json").read_text())["images"]) == 6


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((), RecipeError, "is not finished: there is no .*done.json"),
        (("--row", "selftraim"), RecipeError, "no panoptic row 'selftraim'; it has: source, selftrain"),
        (("--dataset", "kitti_val"), ValueError, "--dataset: data set 'kitti_val' is not registered; expected one of"),
        (("--dataset", "cityscapes_labeled_val"), FileNotFoundError, "leftImg8bit/val not found"),
    ],
)
def test_tool_refuses(
    world: Path, tmp_path: Path, arguments: tuple[str, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run_tool(tmp_path / "out", *arguments)
    assert not (tmp_path / "out").exists()


def test_tool_refuses_one_branch(world: Path, tmp_path: Path) -> None:
    options = ["--config-file", str(CONFIGS / "semantic_source.yaml"), "--opts", *TINY, "OUTPUT_DIR", str(tmp_path)]
    with pytest.raises(RecipeError, match="trains one branch only"):
        export_coco_panoptic.main(export_coco_panoptic.build_parser().parse_args(options))


def test_tool_knows_its_formats(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        export_coco_panoptic.build_parser().parse_args(["--config-file", "x", "--format", "kitti"])
    assert "'coco', 'cityscapes'" in capsys.readouterr().err
