"""Every configuration key that ptseg_d2 adds to Detectron2's defaults, one module per node.

Each key has one comment, above or behind it, that ends with its unit or range; docs/configuration.md is made of them
(`ptseg_d2.config.documentation`).
"""

from __future__ import annotations

from ptseg_d2.config.data import add_data_config
from ptseg_d2.config.evaluation import add_evaluation_config
from ptseg_d2.config.flat import flatten
from ptseg_d2.config.input import add_input_config
from ptseg_d2.config.instance import add_instance_config
from ptseg_d2.config.model import add_model_config
from ptseg_d2.config.recipe import add_recipe_config
from ptseg_d2.config.renamed import register_renamed_keys
from ptseg_d2.config.self_training import add_self_training_config
from ptseg_d2.config.solver import add_solver_config
from ptseg_d2.config.systems import add_systems_config

from detectron2.config import CfgNode, get_cfg
from detectron2.projects.deeplab import add_deeplab_config
from detectron2.projects.panoptic_deeplab import add_panoptic_deeplab_config
from detectron2.projects.point_rend import add_pointrend_config

__all__ = ["add_project_configs", "add_ptseg_config", "flatten", "get_ptseg_cfg"]


def add_project_configs(cfg: CfgNode) -> None:
    """Add the keys of those of Detectron2's projects that we use, with their names and defaults, in place."""
    add_deeplab_config(cfg)
    add_pointrend_config(cfg)
    add_panoptic_deeplab_config(cfg)


def add_ptseg_config(cfg: CfgNode) -> None:
    """Add ptseg_d2's keys and their defaults to a Detectron2 config, in place; those of its projects too."""
    add_project_configs(cfg)
    add_recipe_config(cfg)
    add_data_config(cfg)
    add_input_config(cfg)
    add_model_config(cfg)
    add_self_training_config(cfg)
    add_systems_config(cfg)
    add_instance_config(cfg)
    add_solver_config(cfg)
    add_evaluation_config(cfg)
    register_renamed_keys(cfg)


def get_ptseg_cfg() -> CfgNode:
    """Detectron2's default config plus ptseg_d2's keys."""
    cfg = get_cfg()
    add_ptseg_config(cfg)
    return cfg
