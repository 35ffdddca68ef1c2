"""Every key has a comment with unit or range, and it is read as it stands there."""

from __future__ import annotations

from ptseg_d2.config.comments import Key, read_section
from ptseg_d2.config.documentation import sections

import pytest
from own_keys import own_keys

DOCUMENTED = {key.name: key for section in sections() for key in section.keys}
OF_PROJECTS = {"SOLVER.OPTIMIZER"}
"""Keys of Detectron2's projects that have other values here."""

SOURCE = '''
"""A, B: two nodes.

More.
"""

def add_some_config(cfg):
    """Add the nodes in place."""
    cfg.A = CfgNode()
    cfg.A.X = 1  # how long, in pixels
    options = cfg.B.C = CfgNode()
    # what it is made of:
    # "wood" or "steel"
    options.Y = "wood"
    _add_more(cfg)

def _add_more(cfg):
    """All of
    these."""
    options = cfg.B.C
    options.Z = 0.5  # share of it, in [0, 1]; 0 = off
    cfg.W = [2e-3]  # sizes
'''


def test_keys_are_read_from_the_source() -> None:
    section = read_section(SOURCE)
    assert section.title == "A, B: two nodes"
    assert section.keys == [
        Key("A.X", 1, "how long, in pixels"),
        Key("B.C.Y", "wood", 'what it is made of: "wood" or "steel"'),
        Key("B.C.Z", 0.5, "share of it, in [0, 1]; 0 = off"),
        Key("W", [2e-3], "sizes"),
    ]
    assert section.remarks == {"B.C": ["All of these."], "": ["All of these."]}


def test_a_key_without_a_comment_is_named() -> None:
    with pytest.raises(ValueError, match="A.Y has no comment"):
        read_section("def f(cfg):\n    cfg.A.X = 1  # how long\n    cfg.A.Y = 2\n")


@pytest.mark.parametrize(
    ("default", "comment", "unit", "meaning"),
    [
        (0.5, "weight of the old teacher, in [0, 1)", "[0, 1)", "weight of the old teacher"),
        (0.5, "turned by U(0, x), in degrees, in [0, 360]; 0 = off", "degrees, [0, 360]; 0 = off", "turned by U(0, x)"),
        (8, "images; several, over all; >= 1", ">= 1", "images; several, over all"),
        (
            3,
            "smallest object, in whatever; as a share, in (0, 1)",
            "(0, 1)",
            "smallest object, in whatever; as a share",
        ),
        ((), "(height, width), in pixels; () = as they are", "pixels; () = as they are", "(height, width)"),
        (7, "number of them", "", "number of them"),
        ([], "names of data sets", "list", "names of data sets"),
        (True, "one, in place of two", "True, False", "one, in place of two"),
        ("", "file, in a folder", "text", "file, in a folder"),
        ("a", '"a" (as in [X]) or "b", in turn', "a, b", '"a" (as in [X]) or "b", in turn'),
    ],
)
def test_unit_and_meaning(default: object, comment: str, unit: str, meaning: str) -> None:
    key = Key("A.X", default, comment)
    assert (key.unit, key.meaning) == (unit, meaning)


def test_every_key_has_a_unit_and_a_meaning() -> None:
    without = [name for name, key in DOCUMENTED.items() if not key.unit or not key.meaning]
    assert without == [], "end their comments with a unit or range, such as ', in pixels' or ', >= 0'"


def test_all_keys_are_read_with_their_defaults() -> None:
    told = {
        name: list(key.default) if isinstance(key.default, tuple) else key.default for name, key in DOCUMENTED.items()
    }
    assert {name: default for name, default in told.items() if name not in OF_PROJECTS} == own_keys()
