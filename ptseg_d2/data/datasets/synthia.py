"""SYNTHIA-RAND-CITYSCAPES (Ros et al., CVPR 2016): synthetic streets with classes and instances.

Layout: ``synthia/RAND_CITYSCAPES/RGB/*.png`` and ``synthia/RAND_CITYSCAPES/GT/LABELS/*.png`` (16 bits).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ptseg_d2.data.datasets.paths import list_images, require_labels


def load_labeled(root: Path, fix: str) -> list[dict[str, Any]]:
    """All images with their label files; no file is opened.

    Args:
        root: folder that contains ``synthia``.
        fix: what to do when something is missing.

    Raises:
        FileNotFoundError: the images or some label files are missing.
    """
    base = root / "synthia" / "RAND_CITYSCAPES"
    images = list_images(base / "RGB", "*.png", fix)
    dicts = [
        {
            "file_name": str(image),
            "image_id": image.stem,
            "domain": "source",
            "label_format": "synthia",
            "label_file_name": str(base / "GT" / "LABELS" / image.name),
        }
        for image in images
    ]
    require_labels((Path(d["label_file_name"]) for d in dicts), fix)
    return dicts
