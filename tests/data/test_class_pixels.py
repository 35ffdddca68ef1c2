"""Pixel counts against a loop over the labels; what is kept, and when it is counted again."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from ptseg_d2.data import class_pixels
from ptseg_d2.data.class_pixels import scan
from ptseg_d2.data.labels import read_labels

import cv2
import numpy as np
import pytest
from detectron2.data import DatasetCatalog

SYNTHIA = "miniscapes_synthia_labeled_train"


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Image ids whose labels were read since."""
    ids: list[str] = []

    def read(item: dict[str, Any]) -> Any:
        ids.append(item["image_id"])
        return read_labels(item)

    monkeypatch.setattr(class_pixels, "read_labels", read)
    return ids


@pytest.fixture
def dicts(world: Path) -> list[dict[str, Any]]:
    return DatasetCatalog.get(SYNTHIA)


def slow_counts(dicts: list[dict[str, Any]]) -> list[list[int]]:
    labels = [read_labels(item).sem_seg for item in dicts]
    return [[int((sem_seg == c).sum()) for c in range(19)] for sem_seg in labels]


def paint_train(item: dict[str, Any]) -> None:
    """Makes the upper rows of a SYNTHIA label a train (id 20), in a file of later time."""
    labels = cv2.imread(item["label_file_name"], cv2.IMREAD_UNCHANGED)
    labels[:9, :, -1] = 20
    assert cv2.imwrite(item["label_file_name"], labels)
    os.utime(item["label_file_name"], (2e9, 2e9))


def test_counts_equal_a_loop(dicts: list[dict[str, Any]], tmp_path: Path) -> None:
    counts = scan(dicts, SYNTHIA, tmp_path)
    assert counts.dtype == np.int64 and counts.tolist() == slow_counts(dicts)
    assert (counts.sum(axis=1) <= 64 * 128).all()


def test_second_scan_reads_no_label(dicts: list[dict[str, Any]], tmp_path: Path, counted: list[str]) -> None:
    first = scan(dicts, SYNTHIA, tmp_path)
    assert sorted(counted) == [item["image_id"] for item in dicts]
    counted.clear()
    assert np.array_equal(scan(dicts, SYNTHIA, tmp_path), first)
    assert np.array_equal(scan(dicts[::-2], SYNTHIA, tmp_path), first[::-2])  # a part, in another order
    assert counted == []
    assert [path.name for path in tmp_path.glob("**/*.npz")] == [f"{SYNTHIA}.npz"]


def test_changed_and_new_labels_are_counted_again(
    dicts: list[dict[str, Any]], tmp_path: Path, counted: list[str]
) -> None:
    scan(dicts[:-1], SYNTHIA, tmp_path)
    paint_train(dicts[1])
    counted.clear()
    counts = scan(dicts, SYNTHIA, tmp_path)
    assert sorted(counted) == [dicts[1]["image_id"], dicts[-1]["image_id"]]
    assert counts[1, 16] >= 9 * 128 and counts.tolist() == slow_counts(dicts)
    counted.clear()
    scan(dicts, SYNTHIA, tmp_path)
    assert counted == []


def test_unreadable_labels_count_as_nothing(
    dicts: list[dict[str, Any]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damaged, gone = Path(dicts[0]["label_file_name"]), Path(dicts[2]["label_file_name"])
    damaged.write_bytes(damaged.read_bytes()[:100])
    gone.unlink()
    for _ in range(2):  # nothing about them is kept
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            counts = scan(dicts, SYNTHIA, tmp_path)
        assert counts[[0, 2]].sum() == 0 and (counts[[1, 3, 4, 5]].sum(axis=1) > 0).all()
        messages = sorted(record.getMessage() for record in caplog.records)
        assert len(messages) == 2 and damaged.name in "".join(messages) and gone.name in "".join(messages)


def test_folder_that_cannot_be_written_gives_a_warning(
    dicts: list[dict[str, Any]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    with caplog.at_level(logging.WARNING):
        counts = scan(dicts, SYNTHIA, tmp_path / "file" / "class_pixels")
    assert counts.tolist() == slow_counts(dicts)
    assert any("cannot be written" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("content", [b"", b"PK damaged", b"\x93NUMPY"])
def test_damaged_cache_is_replaced(
    content: bytes, dicts: list[dict[str, Any]], tmp_path: Path, caplog: pytest.LogCaptureFixture, counted: list[str]
) -> None:
    (tmp_path / f"{SYNTHIA}.npz").write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert scan(dicts, SYNTHIA, tmp_path).tolist() == slow_counts(dicts)
    assert "labels are read again" in caplog.text
    counted.clear()
    scan(dicts, SYNTHIA, tmp_path)
    assert counted == []


def test_other_version_is_counted_again(
    dicts: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counted: list[str]
) -> None:
    scan(dicts, SYNTHIA, tmp_path)
    monkeypatch.setattr(class_pixels, "VERSION", class_pixels.VERSION + 1)
    scan(dicts, SYNTHIA, tmp_path)
    assert len(counted) == 2 * len(dicts)


def test_log_says_how_many_images_show_each_class(
    dicts: list[dict[str, Any]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="ptseg_d2"):
        counts = scan(dicts, SYNTHIA, tmp_path)
    assert f"6 images; images with road {(counts[:, 0] > 0).sum()}, sidewalk" in caplog.text


def test_target_images_cannot_be_counted(world: Path, tmp_path: Path, counted: list[str]) -> None:
    with pytest.raises(ValueError, match="has no labels"):
        scan(DatasetCatalog.get("miniscapes_cityscapes_unlabeled_train"), "target", tmp_path)
    assert counted == [] and not list(tmp_path.glob("*.npz"))


def test_no_image() -> None:
    assert scan([], "nothing", Path("unused")).shape == (0, 19)
