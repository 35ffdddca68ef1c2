"""The numbers of [COCO2Cityscapes], tables III and IV, and ours in the same form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ptseg_d2.classes.coco import CITYSCAPES_THINGS, class_map_rows
from ptseg_d2.detectors.coco_instances import METRICS, TASKS

from tabulate import tabulate

MASK_RCNN, POINT_REND = "Mask R-CNN", "PointRend"
PAPER = "the report's "

PAPER_COCO: dict[str, dict[str, tuple[float, ...]]] = {
    MASK_RCNN: {
        "bbox": (37.459, 54.561, 41.855, 19.956, 40.365, 50.871),
        "segm": (34.336, 52.787, 37.434, 15.699, 36.583, 50.555),
    },
    POINT_REND: {
        "bbox": (37.318, 54.534, 41.471, 19.979, 40.255, 49.893),
        "segm": (35.170, 53.001, 38.271, 16.138, 37.441, 51.249),
    },
}
"""Table III: detector -> task -> AP, AP50, AP75, APs, APm, APl on COCO."""

PAPER_CITYSCAPES: dict[str, dict[str, tuple[float, float]]] = {
    MASK_RCNN: {
        "person": (25.500, 31.874),
        "rider": (1.270, 1.587),
        "car": (34.868, 43.585),
        "truck": (1.799, 2.248),
        "bus": (2.270, 2.838),
        "train": (9.869, 12.336),
        "motorcycle": (1.193, 1.491),
        "bicycle": (3.232, 4.040),
        "average": (10.000, 12.500),
    },
    POINT_REND: {
        "person": (39.219, 49.022),
        "rider": (1.953, 2.441),
        "car": (53.627, 67.034),
        "truck": (2.767, 3.457),
        "bus": (3.491, 4.365),
        "train": (15.179, 18.973),
        "motorcycle": (1.835, 2.293),
        "bicycle": (4.971, 6.214),
        "average": (15.380, 19.225),
    },
}
"""Table IV: detector -> class -> AP, AP50 on Cityscapes."""


def coco_table(scores: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Table III: box and mask AP of each detector, the report's below.

    Args:
        scores: detector -> "bbox" and "segm" -> metric -> percent or None.
    """
    rows = [
        [name, task, *(_number(of_name[task][m]) for m in METRICS)]
        for name, of_name in scores.items()
        for task in TASKS
    ]
    for name, of_task in PAPER_COCO.items():
        rows += [[f"{PAPER}{name}, on COCO", task, *map(_number, of_task[task])] for task in TASKS]
    return tabulate(rows, ["detector", "task", *METRICS], tablefmt="github", disable_numparse=True)


def cityscapes_table(scores: Mapping[str, Mapping[str, Any]]) -> str:
    """Table IV: AP / AP50 of each class in rows, detectors in columns, the report's behind.

    Args:
        scores: detector -> AP, AP50 and per_class -> name -> AP, AP50; percent or None.
    """
    rows = []
    for name in (*CITYSCAPES_THINGS, "average"):
        ours = [of_name if name == "average" else of_name["per_class"][name] for of_name in scores.values()]
        cells = [f"{_number(values['AP'])} / {_number(values['AP50'])}" for values in ours]
        rows.append(
            [name, *cells, *(f"{ap:.1f} / {ap50:.1f}" for ap, ap50 in (t[name] for t in PAPER_CITYSCAPES.values()))]
        )
    headers = ["AP / AP50", *scores, *(f"{PAPER}{name}, on Cityscapes" for name in PAPER_CITYSCAPES)]
    return tabulate(rows, headers, tablefmt="github", disable_numparse=True)


def class_map_table() -> str:
    """Cityscapes' objects and the COCO classes that become them."""
    return tabulate(class_map_rows(), ["Cityscapes", "COCO"], tablefmt="github")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
