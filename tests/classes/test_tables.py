"""The class tables against the official Cityscapes list and hand-written facts about SYNTHIA."""

from __future__ import annotations

from ptseg_d2.classes import streets as c
from ptseg_d2.classes import tables
from ptseg_d2.config import get_ptseg_cfg
from ptseg_d2.data import datasets

import pytest
from cityscapesscripts.helpers.labels import labels as official_labels
from detectron2.data import DatasetCatalog, MetadataCatalog


def test_categories_are_the_official_ones() -> None:
    official = sorted((label for label in official_labels if 0 <= label.trainId < 255), key=lambda x: x.trainId)
    expected = [(x.name, x.trainId, x.id, x.hasInstances, x.color) for x in official]
    assert [(x.name, x.train_id, x.label_id, x.is_thing, x.color) for x in c.CATEGORIES] == expected


def test_cityscapes_maps_are_the_official_ones() -> None:
    expected = {x.id: x.trainId for x in official_labels if 0 <= x.trainId < 255}
    assert c.CITYSCAPES_TO_TRAIN == expected
    assert {c.TRAIN_TO_CITYSCAPES[t]: t for t in range(19)} == expected
    assert c.NUM_CITYSCAPES_LABEL_IDS == max(x.id for x in official_labels) + 1


def test_things_and_stuff() -> None:
    assert c.THING_IDS == (11, 12, 13, 14, 15, 16, 17, 18)
    assert c.STUFF_IDS == tuple(range(11))
    assert c.CLASS_NAMES[0] == "road" and c.CLASS_NAMES[18] == "bicycle"


def test_synthia_subsets() -> None:
    absent = sorted(set(range(19)) - set(c.SYNTHIA16_IDS))
    assert [c.CLASS_NAMES[i] for i in absent] == ["terrain", "truck", "train"]
    assert len(c.SYNTHIA16_IDS) == 16
    dropped = sorted(set(c.SYNTHIA16_IDS) - set(c.SYNTHIA13_IDS))
    assert [c.CLASS_NAMES[i] for i in dropped] == ["wall", "fence", "pole"]
    assert len(c.SYNTHIA13_IDS) == 13


def test_synthia_names_agree_with_its_readme() -> None:
    readme = (
        "void,sky,building,road,sidewalk,fence,vegetation,pole,car,traffic sign,pedestrian,bicycle,"
        "motorcycle,parking-slot,road-work,traffic light,terrain,rider,truck,bus,train,wall,lanemarking"
    ).split(",")
    renamed = {"pedestrian": "person", "lanemarking": "road"}
    void = {"void", "parking-slot", "road-work"}
    for label_id, name in enumerate(readme):
        train_id = c.SYNTHIA_TO_TRAIN.get(label_id)
        if name in void:
            assert train_id is None
        else:
            assert train_id is not None and c.CLASS_NAMES[train_id] == renamed.get(name, name)
    assert c.NUM_SYNTHIA_LABEL_IDS == len(readme)


def test_synthia_round_trip_covers_all_classes() -> None:
    assert [c.SYNTHIA_TO_TRAIN[c.TRAIN_TO_SYNTHIA[t]] for t in range(19)] == list(range(19))


def test_lookup_table_is_void_where_nothing_is_mapped() -> None:
    assert tables.lookup_table({2: 7, 0: 1}, size=4).tolist() == [1, 255, 7, 255]
    assert tables.lookup_table({}).shape == (256,)


def test_class_ids_keep_the_order_given() -> None:
    assert c.CITYSCAPES.ids(["bicycle", "road", "traffic light"]) == (18, 0, 6)
    assert c.CITYSCAPES.ids([]) == ()


def test_a_group_without_names_is_all_things() -> None:
    assert c.CITYSCAPES.ids_of_group(["person", "car"]) == (11, 13)
    assert c.CITYSCAPES.ids_of_group([]) == c.THING_IDS


def test_unknown_class_name_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'trafic light'.*expected one of: road, sidewalk"):
        c.CITYSCAPES.ids(["road", "trafic light"])


def test_a_world_of_one_thing_has_a_background_and_no_further_means() -> None:
    leaves = tables.single_thing("leaf")
    assert (leaves.names, leaves.thing_ids, leaves.stuff_ids) == (("background", "leaf"), (1,), (0,))
    assert leaves.label_ids == {0: 1, 1: 2}  # 0 is void in exported files
    assert leaves.panoptic_means == {"PQ": (0, 1)} and leaves.semantic_means == {"mIoU": (0, 1)}
    assert leaves == tables.single_thing("leaf") != tables.single_thing("nucleus")


def test_the_classes_of_a_config_are_those_of_its_data_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    leaves = tables.single_thing("leaf")
    for name in ("leaves_train", "leaves_test"):
        datasets.register(name, lambda: [], leaves)
    try:
        cfg = get_ptseg_cfg()
        assert datasets.classes_of(cfg) == c.CITYSCAPES
        cfg.DATASETS.SOURCE, cfg.DATASETS.TEST = ("leaves_train",), ("leaves_test",)
        assert datasets.classes_of(cfg) == leaves
        cfg.DATASETS.TARGET = ("cityscapes_unlabeled_train",)
        with pytest.raises(ValueError, match="leaves_train has the classes background, leaf, but cityscapes_unlabeled"):
            datasets.classes_of(cfg)
    finally:
        for name in ("leaves_train", "leaves_test"):
            DatasetCatalog.remove(name)
            MetadataCatalog.remove(name)
