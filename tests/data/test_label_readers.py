"""What the readers share, by hand; the formats themselves are in test_labels."""

from __future__ import annotations

from ptseg_d2.data.label_readers import LABEL_READER_REGISTRY, check_equal_size, number_instances, to_train_ids
from ptseg_d2.errors import DataError

import numpy as np
import pytest


def test_every_data_set_brings_its_reader() -> None:
    assert set(LABEL_READER_REGISTRY.names()) >= {"cityscapes", "cvppp", "gta5", "instance_png", "synthia"}


def test_instances_are_numbered_in_the_order_of_their_keys() -> None:
    keys = np.array([[7, 7, 2], [9, 0, 2]])
    things = np.array([[True, True, True], [True, True, False]])
    known = np.array([[True, False, True], [True, False, False]])
    assert number_instances(keys, known, things).tolist() == [[2, -1, 1], [3, -1, 0]]


def test_no_instance_is_known() -> None:
    nothing = np.zeros((2, 2), bool)
    assert number_instances(np.full((2, 2), 5), nothing, nothing).tolist() == [[0, 0], [0, 0]]


def test_label_ids_beyond_the_table() -> None:
    table = np.array([255, 3])
    assert to_train_ids(np.array([[1, 0]]), table, "a.png").tolist() == [[3, 255]]
    with pytest.raises(DataError, match=r"a\.png: unknown class id 2 at 1 pixels; expected official label ids 0\.\.1"):
        to_train_ids(np.array([[1, 2]]), table, "a.png")


def test_sizes_are_named_as_width_by_height() -> None:
    check_equal_size((4, 5), (4, 5), "a.png", "b.png")
    with pytest.raises(DataError, match=r"a\.png has 5x4 pixels but b\.png has 4x5"):
        check_equal_size((4, 5), (5, 4), "a.png", "b.png")
