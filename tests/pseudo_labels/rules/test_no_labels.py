"""The rule without labels is never asked for any."""

from __future__ import annotations

from ptseg_d2.pseudo_labels.rules import Evidence, RuleOptions
from ptseg_d2.pseudo_labels.rules.no_labels import NoLabels

import pytest
from torch import tensor


def test_it_says_so_and_refuses() -> None:
    assert not NoLabels.makes_labels
    with pytest.raises(AssertionError, match="makes no labels"):
        NoLabels(RuleOptions())(Evidence([], tensor([0.5]), None, (1, 2)))
