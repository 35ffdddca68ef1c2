"""From our registry into Detectron2's catalogs; folders of a user are in test_instance_folders."""

from __future__ import annotations

from ptseg_d2.classes.streets import CITYSCAPES
from ptseg_d2.data import datasets
from ptseg_d2.data.datasets.catalog import DATASET_REGISTRY

from detectron2.data import DatasetCatalog, MetadataCatalog


def test_all_that_is_declared_is_registered() -> None:
    for name, dataset in DATASET_REGISTRY:
        assert name in DatasetCatalog and MetadataCatalog.get(name).class_table == dataset.classes


def test_registering_again_changes_nothing() -> None:
    DatasetCatalog.register("registered_by_somebody_else", list)
    try:
        before = DatasetCatalog.list()
        datasets.register_all()
        assert DatasetCatalog.list() == before
    finally:
        DatasetCatalog.remove("registered_by_somebody_else")


def test_a_name_that_is_there_keeps_its_entries() -> None:
    try:
        datasets.register("registered_twice", lambda: [{"image_id": "first"}], CITYSCAPES)
        datasets.register("registered_twice", lambda: [{"image_id": "second"}], CITYSCAPES)
        assert DatasetCatalog.get("registered_twice") == [{"image_id": "first"}]
    finally:
        DatasetCatalog.remove("registered_twice")
        MetadataCatalog.remove("registered_twice")
