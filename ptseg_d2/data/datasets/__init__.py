"""The data sets under their registered names. One module each: its layout, the reader of its labels, its names.

A new data set is a new module like `gta5` and its name in the first import below. Names, drawn twins and classes are
declared as `ptseg_d2.data.datasets.catalog` says.
"""

# ruff: noqa: F401
from ptseg_d2.data.datasets import (
    cityscapes,
    cvppp,
    gta5,
    gta5_trucktrain,
    instance_folders,
    synthia,
)
from ptseg_d2.data.datasets.catalog import DATASET_REGISTRY, add_dataset
from ptseg_d2.data.datasets.metadata import (
    DATASET_KEYS,
    EVALUATOR_TYPE,
    classes_of,
    classes_of_dataset,
    panoptic_metadata,
)
from ptseg_d2.data.datasets.registration import register, register_all, register_folders, register_world
