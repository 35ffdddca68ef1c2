"""No labels: the student learns from target images only what other losses say, such as the entropy of FDA."""

from __future__ import annotations

from ptseg_d2.pseudo_labels.rules.rule import PSEUDO_LABEL_REGISTRY, Evidence, PseudoLabelRule, PseudoLabels


@PSEUDO_LABEL_REGISTRY.register(name="none")
class NoLabels(PseudoLabelRule):
    """Says that there are none."""

    makes_labels = False
    asks_teacher = False

    def __call__(self, evidence: Evidence) -> PseudoLabels:
        """Must not be asked."""
        raise AssertionError("this rule makes no labels; ask `makes_labels` first")
