"""GTA5 (Richter et al., "Playing for Data", ECCV 2016): game frames with classes, without instances.

Layout: ``gta5/images/*.png`` and ``gta5/labels/*.png`` (palette indices = Cityscapes label ids).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ptseg_d2.data.datasets.paths import list_images, require_labels


def load_labeled(root: Path, fix: str) -> list[dict[str, Any]]:
    """All images with their label files; no file is opened.

    Args:
        root: folder that contains ``gta5``.
        fix: what to do when something is missing.

    Raises:
        FileNotFoundError: the images or some label files are missing.
    """
    base = root / "gta5"
    images = list_images(base / "images", "*.png", fix)
    dicts = [
        {
            "file_name": str(image),
            "image_id": image.stem,
            "domain": "source",
            "label_format": "gta5",
            "label_file_name": str(base / "labels" / image.name),
        }
        for image in images
    ]
    require_labels((Path(d["label_file_name"]) for d in dicts), fix)
    return dicts
