"""Self-trained panoptic segmentation on Detectron2. Importing it fills Detectron2's registries and data catalogs.

Import it before `detectron2`: `ptseg_d2.compat` makes Detectron2 0.6 work with today's libraries.
"""

# ruff: noqa: E402
from ptseg_d2 import compat

compat.apply()

from ptseg_d2 import modeling
from ptseg_d2.data import datasets
from ptseg_d2.detectors import detector_loss

datasets.register_all()

__all__ = ["compat", "datasets", "detector_loss", "modeling"]
