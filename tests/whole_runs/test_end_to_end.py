"""The whole recipe on a tiny world: train, skip, evaluate again, export, draw."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import demo
import export_coco_panoptic
import pytest
from panopticapi.evaluation import pq_compute
from tiny import CONFIGS, TINY
from whole_run import run_recipe


@pytest.fixture(scope="module")
def finished(drawn_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The main recipe, run once in a world without any label of the target's training images."""
    root = tmp_path_factory.mktemp("recipe")
    shutil.copytree(drawn_world, root / "data")
    shutil.rmtree(root / "data" / "miniscapes" / "cityscapes" / "gtFine" / "train")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DETECTRON2_DATASETS", str(root / "data"))
        flags = ["EVAL.ORACLE_MASKS", "True", "EVAL.REPORT", "True", "EVAL.PSEUDO_LABEL_PICTURES", "1"]
        yield root / "out", run_recipe("selftrain_icm.yaml", root / "out", *flags)


def test_results_hold_every_row(finished: tuple[Path, dict[str, Any]]) -> None:
    _, results = finished
    assert sorted(results["semantic"]) == ["adapted", "selftrain", "source"]
    assert sorted(results["panoptic"]) == ["selftrain", "source"]
    assert sorted(results["instance"]) == [
        *("adapted", "adapted_thresholded", "components", "selftrain", "source", "source_thresholded")
    ]
    assert sorted(results["instance_oracle_masks"]) == ["adapted", "components", "selftrain", "source"]
    assert results["seed"] == 1 and results["config"].endswith("selftrain_icm.yaml")
    assert results["datasets"]["target"] == ["miniscapes_cityscapes_unlabeled_train"]
    assert list(results["seconds"]) == [
        *("semantic_source", "semantic_adapted", "semantic_selftrain"),
        *("instance_source", "instance_adapted", "instance_selftrain"),
    ]
    for row in results["panoptic"].values():
        assert {"PQ", "SQ", "RQ", "PQ_plus", "PQ_th", "PQ_st", "PQ16", "per_class"} <= row.keys()
    for row in results["instance"].values():
        assert {"AP", "AP50", "precision50", "recall50", "per_class"} <= row.keys()


def test_the_table_is_in_the_log(finished: tuple[Path, dict[str, Any]]) -> None:
    output, results = finished
    log = (output / "log.txt").read_text()
    table = [re.split(r"\s*\|\s*", line.strip("| ")) for line in log.splitlines() if line.startswith("| selftrain")]
    assert table and table[0][0] == "selftrain"
    assert table[0][1].split(" [")[0] == f"{results['panoptic']['selftrain']['PQ']:.1f}"
    assert "Stage semantic_source begins" in log


def test_panopticapi_reads_the_export_and_agrees(finished: tuple[Path, dict[str, Any]]) -> None:
    output, results = finished
    folder = output / "coco_panoptic"
    official = pq_compute(str(folder / "gt.json"), str(folder / "pred.json"), str(folder / "gt"), str(folder / "pred"))
    assert 100 * official["All"]["pq"] == pytest.approx(results["panoptic"]["selftrain"]["PQ"], abs=1e-9)


def test_second_run_trains_nothing_and_eval_only_gives_the_same_numbers(
    finished: tuple[Path, dict[str, Any]],
) -> None:
    output, results = finished
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*.pth")}
    assert len(before) > 0
    again = run_recipe("selftrain_icm.yaml", output, "--eval-only")
    assert again == results
    assert run_recipe("selftrain_icm.yaml", output) == results
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*.pth")} == before


def test_pictures_and_demo(finished: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    output, _ = finished
    assert len(list((output / "pictures").glob("*.png"))) == 2
    images = output.parent / "data" / "miniscapes" / "cityscapes" / "leftImg8bit" / "val"
    arguments = ["--config-file", str(CONFIGS / "selftrain_icm.yaml"), "--input", f"{images}/*/*.png"]
    arguments += ["--output", str(tmp_path), "--opts", *TINY, "OUTPUT_DIR", str(output)]
    demo.main(demo.build_parser().parse_args(arguments))
    drawn = sorted(tmp_path.glob("*.png"))
    assert len(drawn) == 3 and cv2.imread(str(drawn[0])).shape == (512, 1024, 3)


def test_export_tool_writes_the_same_files(finished: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    output, _ = finished
    arguments = ["--config-file", str(CONFIGS / "selftrain_icm.yaml"), "--output", str(tmp_path)]
    arguments += ["--opts", *TINY, "OUTPUT_DIR", str(output)]
    export_coco_panoptic.main(export_coco_panoptic.build_parser().parse_args(arguments))
    for name in ("pred.json", "gt.json"):
        assert (tmp_path / name).read_bytes() == (output / "coco_panoptic" / name).read_bytes()


def test_oracle_has_its_own_row(world: Path, tmp_path: Path) -> None:
    results = run_recipe("oracle.yaml", tmp_path / "oracle")
    assert list(results["semantic"]) == list(results["panoptic"]) == list(results["instance"]) == ["oracle"]
    assert results["datasets"]["source"] == ["miniscapes_cityscapes_labeled_train"]
