"""The table of stages: what each does, sees and leaves, written out by hand."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from ptseg_d2.recipe.stage_work import WORK
from ptseg_d2.stages import STAGES
from ptseg_d2.stages.table import Branch, Groups, Work, Writes, stage_of

from tiny import CONFIGS

PACKAGE = CONFIGS.parent / "ptseg_d2"


def test_what_each_stage_does_and_sees() -> None:
    rows = {
        name: (stage.branch.value, stage.work.name, stage.model, stage.sees_target) for name, stage in STAGES.items()
    }
    assert rows == {
        "semantic_source": ("semantic", "TRAIN", "supervised", False),
        "semantic_styled": ("semantic", "TRAIN", "styled", True),
        "semantic_adapted": ("semantic", "ADAPT", "adapted", True),
        "semantic_selftrain": ("semantic", "TRAIN", "selftrain", True),
        "instance_source": ("instance", "TRAIN", "supervised", False),
        "instance_adapted": ("instance", "ADAPT", "adapted", True),
        "instance_selftrain": ("instance", "TRAIN", "selftrain", True),
        "instance_mix": ("instance", "CHOOSE", "mix", True),
        "panoptic_source": ("panoptic", "TRAIN", "supervised", False),
        "panoptic_adapted": ("panoptic", "ADAPT", "adapted", True),
        "panoptic_selftrain": ("panoptic", "TRAIN", "selftrain", True),
        "detector_source": ("detector", "TRAIN", "detector", False),
        "detector_zoo": ("detector", "DETECT", "detector", True),
    }


def test_what_each_stage_leaves_and_which_have_groups() -> None:
    assert {name: stage.writes for name, stage in STAGES.items() if stage.writes} == {
        **dict.fromkeys(("semantic_adapted", "semantic_selftrain", "panoptic_adapted"), Writes.MASKS),
        **dict.fromkeys(("detector_source", "detector_zoo"), Writes.DETECTIONS),
    }
    assert {name: stage.groups for name, stage in STAGES.items() if stage.groups is not Groups.NEVER} == {
        "instance_source": Groups.IF_NAMED,
        "instance_adapted": Groups.IF_NAMED,
        "instance_selftrain": Groups.ALWAYS,
    }
    classifying = {name for name, stage in STAGES.items() if stage.has_classifier}
    assert classifying == {name for name, stage in STAGES.items() if stage.branch in (Branch.SEMANTIC, Branch.PANOPTIC)}


def test_every_kind_of_work_is_done_by_something() -> None:
    assert set(WORK) == set(Work)


def test_a_stage_by_its_branch_and_the_model_of_its_rows() -> None:
    assert stage_of(Branch.SEMANTIC, "supervised") is STAGES["semantic_source"]
    assert stage_of(Branch.INSTANCE, "mix") is STAGES["instance_mix"]


def modules() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path.name != "table.py"]


CUT = {"startswith", "endswith", "split", "partition", "rpartition", "removeprefix", "removesuffix"}


def test_no_name_of_a_stage_or_a_row_is_taken_apart() -> None:
    found = []
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CUT:
                what = ast.unparse(node.func.value)
                if re.search(r"\b(?:STAGE|stage|stage_name|stage\.name|row|row_name|row\.name|run\.name)$", what):
                    found.append(f"{path.relative_to(PACKAGE)}: {ast.unparse(node)}")
    assert found == []


def test_names_of_stages_stand_in_few_places() -> None:
    """The stages that rounds repeat."""
    found = set()
    for path in modules():
        constants = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant))
        if any(node.value in STAGES for node in constants):
            found.add(str(path.relative_to(PACKAGE)))
    assert found == {"recipe/rounds.py"}
