"""Every configuration key that ptseg_d2 adds to Detectron2's defaults, one module per node.

Each key has one comment, above or behind it, that ends with its unit or range; docs/configuration.md is made of them
(`ptseg_d2.config.documentation`).
"""

from ptseg_d2.config.defaults import add_ptseg_config, get_ptseg_cfg
from ptseg_d2.config.flat import flatten

__all__ = ["add_ptseg_config", "flatten", "get_ptseg_cfg"]
