"""Self-trained panoptic segmentation on Detectron2. Importing it fills Detectron2's registries and data catalogs."""

from ptseg_d2 import compat

compat.apply()  # before anything imports Detectron2
