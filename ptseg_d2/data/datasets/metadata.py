"""What Detectron2's catalogs say of a data set of ours beside its entries: its classes, above all."""

from __future__ import annotations

from typing import Any

from ptseg_d2.classes.streets import CITYSCAPES
from ptseg_d2.classes.tables import VOID, ClassTable
from ptseg_d2.panoptic_ids import LABEL_DIVISOR

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog

EVALUATOR_TYPE = "ptseg_panoptic"
DATASET_KEYS = ("SOURCE", "VALIDATION", "TARGET", "TEST")
"""Below DATASETS: what names registered data sets."""


def panoptic_metadata(classes: ClassTable = CITYSCAPES) -> dict[str, Any]:
    """Metadata of a data set, in the form of Detectron2's Cityscapes panoptic ones, with the table as `class_table`.

    Thing and stuff classes both list all names, so that a train id indexes either; the ids of exported files are the
    label ids.

    Args:
        classes: of the data set.
    """
    names, colors = list(classes.names), list(classes.colors)
    return {
        "class_table": classes,
        "thing_classes": names,
        "stuff_classes": names,
        # Objects of a single class are told apart by colours that Detectron2's Visualizer draws at random.
        **({"thing_colors": colors} if len(classes.thing_ids) > 1 else {}),
        "stuff_colors": colors,
        "thing_dataset_id_to_contiguous_id": {c.label_id: c.train_id for c in classes.categories if c.is_thing},
        "stuff_dataset_id_to_contiguous_id": {c.label_id: c.train_id for c in classes.categories if not c.is_thing},
        "ignore_label": VOID,
        "label_divisor": LABEL_DIVISOR,
        "evaluator_type": EVALUATOR_TYPE,
    }


def classes_of(cfg: CfgNode) -> ClassTable:
    """The class table of the data sets of a config; Cityscapes' if none of ours is named.

    Raises:
        ValueError: they have different ones.
    """
    names = [name for key in DATASET_KEYS for name in cfg.DATASETS[key]]
    tables = {name: classes_of_dataset(name) for name in names if name in DatasetCatalog}
    first, classes = next(iter(tables.items()), ("", CITYSCAPES))
    for name, table in tables.items():
        if table != classes:
            raise ValueError(
                f"DATASETS: {first} has the classes {', '.join(classes.names)}, but {name} has "
                f"{', '.join(table.names)}; the data sets of a config must have the same classes"
            )
    return classes


def classes_of_dataset(name: str) -> ClassTable:
    """The class table of a registered data set; Cityscapes' if it is none of ours."""
    table: ClassTable = MetadataCatalog.get(name).get("class_table", CITYSCAPES)
    return table
