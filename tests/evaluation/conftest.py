"""Fixtures of evaluators: a street data set and four labelled images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ptseg_d2.data.datasets import panoptic_metadata

import numpy as np
import pytest
from detectron2.data import MetadataCatalog
from references_evaluation import DATASET, random_labels, write_cityscapes_entry


@pytest.fixture
def entries(tmp_path: Path) -> Iterator[list[dict[str, str]]]:
    """Four images of `DATASET`, with the metadata that an evaluator of it asks for."""
    MetadataCatalog.get(DATASET).set(**panoptic_metadata())
    rng = np.random.default_rng(0)
    yield [write_cityscapes_entry(tmp_path, f"image{i}", *random_labels(rng)) for i in range(4)]
    MetadataCatalog.remove(DATASET)
