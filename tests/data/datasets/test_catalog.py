"""Declared data sets: listed where they lie, drawn where a world has their layout, and one more in a single module."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ptseg_d2.classes.tables import single_thing
from ptseg_d2.data import datasets
from ptseg_d2.data.datasets import catalog
from ptseg_d2.data.datasets.catalog import DATASET_REGISTRY, DrawnWorld, Entries, NamedDataset, add_dataset
from ptseg_d2.data.datasets.paths import list_images
from ptseg_d2.data.image_files import read_one_channel, write_png
from ptseg_d2.data.label_readers import LABEL_READER_REGISTRY, Labels
from ptseg_d2.data.loader import JointLoader
from ptseg_d2.data.streams import build_streams
from ptseg_d2.recipe.configs import load_config
from ptseg_d2.registry import NamedRegistry
from ptseg_d2.stages import StageInputs
from ptseg_d2.training.trainer import Trainer

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from tiny import CONFIGS, NARROW

CELLS = single_thing("cell")
CONFIG = """
_BASE_: {base}
OUTPUT_DIR: {folder}
DATASETS:
  SOURCE: ("cells_labeled_train",)
  VALIDATION: ()
  TEST: ()
INPUT:
  CROP_SIZE: (64, 64)
  SOURCE_FIT: False
  SOURCE_SCALE: (1.0, 1.0)
  SOURCE_ROTATION: 0.0
  RARE_CLASS_TEMPERATURE: 0.0
SOLVER:
  SOURCE_PER_BATCH: 1
  WARMUP_ITERS: 1
  MAX_ITER: 2
"""


def list_cells(root: Path, fix: str) -> Entries:
    """The part of a new module that knows the layout."""
    return [
        {
            "file_name": str(image),
            "image_id": image.stem,
            "domain": "source",
            "label_format": "inverted",
            "label_file_name": str(root / "cells" / "labels" / image.name),
        }
        for image in list_images(root / "cells" / "images", "*.png", fix)
    ]


def read_inverted(dataset_dict: Mapping[str, Any]) -> Labels:
    """The part that knows the labels: 0 is the one object of an image, everything else background."""
    is_cell = (read_one_channel(dataset_dict["label_file_name"]) == 0).astype(np.int64)
    return Labels(is_cell, is_cell)


def write_cell(root: Path) -> Path:
    for part in ("images", "labels"):
        (root / "cells" / part).mkdir(parents=True)
        write_png(root / "cells" / part / "one.png", np.eye(64, dtype=np.uint8))
    return root


@pytest.fixture
def registries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Registries that forget what a test adds; $DETECTRON2_DATASETS."""
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    fresh: NamedRegistry[NamedDataset] = NamedRegistry("DATASET", "DATASETS")
    monkeypatch.setattr(catalog, "DATASET_REGISTRY", fresh)
    monkeypatch.setattr(datasets.registration, "DATASET_REGISTRY", fresh)
    monkeypatch.setattr(LABEL_READER_REGISTRY, "_obj_map", {**dict(LABEL_READER_REGISTRY)})
    yield tmp_path
    for name, _ in fresh:
        if name in DatasetCatalog:
            DatasetCatalog.remove(name)
            MetadataCatalog.remove(name)


def test_a_new_data_set_is_a_module_and_a_config(registries: Path) -> None:
    """What its module does on import, a YAML that names it, and two training steps."""
    LABEL_READER_REGISTRY.register(read_inverted, name="inverted")
    add_dataset("cells_labeled_train", list_cells, CELLS)
    datasets.register_all()
    write_cell(registries)
    config_file = registries / "cells.yaml"
    config_file.write_text(CONFIG.format(base=CONFIGS / "panoptic_unet" / "minileaves_plain.yaml", folder=registries))
    cfg = load_config(config_file, NARROW)
    assert datasets.classes_of(cfg) == CELLS
    (item,) = next(iter(JointLoader(build_streams(cfg, StageInputs.from_config(cfg)), num_workers=0)))
    assert int((item["sem_seg"] == 0).sum()) == int((item["instance_ids"] == 0).sum()) == 64  # the diagonal
    trainer = Trainer(cfg, StageInputs.from_config(cfg))
    trainer.resume_or_load(resume=False)
    trainer.train()
    assert trainer.iter == 2 and (registries / "model_final.pth").is_file()


def test_missing_files_are_missed_when_the_data_set_is_asked_for(registries: Path) -> None:
    add_dataset("cells_labeled_train", list_cells, CELLS)
    datasets.register_all()
    with pytest.raises(FileNotFoundError, match=r"cells/images not found.*datasets/README\.md"):
        DatasetCatalog.get("cells_labeled_train")


def test_the_drawn_twin_lies_in_the_folder_of_its_world(registries: Path) -> None:
    drawn: list[Path] = []

    def ensure(root: Path) -> Path:
        drawn.append(root)
        return root if root.exists() else write_cell(root)

    add_dataset("cells_labeled_train", list_cells, CELLS, DrawnWorld("minicells", ensure, "Draw it"))
    datasets.register_all()
    assert drawn == [] and MetadataCatalog.get("minicells_cells_labeled_train").class_table == CELLS
    for _ in range(2):
        (entry,) = DatasetCatalog.get("minicells_cells_labeled_train")
        assert entry["file_name"] == str(registries / "minicells" / "cells" / "images" / "one.png")
    assert drawn == [registries / "minicells"] * 2
    assert not (registries / "cells").exists()


def test_drawn_streets_and_plants_have_the_names_of_the_real_ones() -> None:
    names = set(DATASET_REGISTRY.names())
    for world, real in (("miniscapes", ("synthia", "gta5", "cityscapes")), ("minileaves", ("cvppp",))):
        of_layout = {name for name in names if name.startswith(real)}
        assert {f"{world}_{name}" for name in of_layout} == {name for name in names if name.startswith(world)}
