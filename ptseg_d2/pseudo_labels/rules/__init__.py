"""Rules of semantic pseudo labels, one module each, in a registry.

A new rule is a new module like `confidence_share` and its name in the first import below; a config then chooses it by
MODEL.SELF_TRAINING.PSEUDO_LABELS. The registry is fvcore's kind, which Detectron2's users know; fvcore is not
Detectron2, so the rules stay plain functions of tensors.
"""

# ruff: noqa: F401
from ptseg_d2.pseudo_labels.rules import (
    class_thresholds,
    confidence_share,
    no_labels,
    predicted_masks,
)
from ptseg_d2.pseudo_labels.rules.rule import (
    PSEUDO_LABEL_REGISTRY,
    Evidence,
    PseudoLabelRule,
    PseudoLabels,
    RuleOptions,
)
