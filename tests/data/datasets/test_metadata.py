"""What the catalogs say of the classes of a data set."""

from __future__ import annotations

from ptseg_d2.classes.tables import single_thing
from ptseg_d2.data.datasets.metadata import classes_of_dataset, panoptic_metadata

import pytest
from detectron2.data import MetadataCatalog


@pytest.mark.parametrize("world", ["", "miniscapes_"])
@pytest.mark.parametrize("name", ["synthia_labeled_train", "cityscapes_unlabeled_train", "cityscapes_labeled_val"])
def test_metadata(name: str, world: str) -> None:
    metadata = MetadataCatalog.get(f"{world}{name}")
    assert len(metadata.thing_classes) == len(metadata.stuff_classes) == 19
    assert metadata.stuff_classes[0] == "road" and metadata.thing_classes[18] == "bicycle"
    assert metadata.thing_colors[13] == metadata.stuff_colors[13] == (0, 0, 142)
    things, stuff = metadata.thing_dataset_id_to_contiguous_id, metadata.stuff_dataset_id_to_contiguous_id
    assert things[26] == 13 and stuff[7] == 0
    assert sorted([*things.values(), *stuff.values()]) == list(range(19))
    assert (metadata.ignore_label, metadata.label_divisor) == (255, 1000)
    assert metadata.evaluator_type == "ptseg_panoptic"


def test_objects_of_a_single_class_have_no_fixed_colour() -> None:
    metadata = panoptic_metadata(single_thing("leaf"))
    assert "thing_colors" not in metadata and metadata["thing_classes"] == ["background", "leaf"]
    assert metadata["thing_dataset_id_to_contiguous_id"] == {2: 1}


def test_data_set_of_somebody_else_has_cityscapes_classes() -> None:
    assert classes_of_dataset("cvppp_unlabeled") == single_thing("leaf")
    assert classes_of_dataset("of_somebody_else").num_classes == 19
