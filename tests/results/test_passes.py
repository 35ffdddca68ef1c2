"""What fills results.json: for each kind of recipe the passes over the test images and the rows that they fill."""

from __future__ import annotations

import json
from pathlib import Path

from ptseg_d2.recipe.configs import load_config, load_recipe
from ptseg_d2.recipe.rounds import agreement_basis, agreement_file, rounds_of
from ptseg_d2.results.passes import passes
from ptseg_d2.results.rows import ResultRows

import pytest
from tiny import CONFIGS
from untrained import OVERRIDES, untrained_run

GROUPS = ["INSTANCE.GROUPS", "[['car'], ['person', 'rider']]"]


def filled(folder: Path, config: str, *overrides: str) -> list[list[tuple[str, str, str]]]:
    """Per pass the output, the section and the row, of a run with random weights."""
    untrained_run(folder, config, *overrides)
    words = [*OVERRIDES, *overrides, "OUTPUT_DIR", str(folder)]
    rows = ResultRows(load_config(CONFIGS / config, words), load_recipe(CONFIGS / config, words))
    return [[(one.key, one.section, one.row.name) for one in scored] for _, scored in passes(rows)]


def test_both_branches_before_and_after(tmp_path: Path) -> None:
    """The final pair also answers for the other instance models inside its masks; batch norm alone is one more pass."""
    found = filled(tmp_path, "selftrain_icm.yaml", *GROUPS)
    own, others = "panoptic_seg", ("source", "source_thresholded", "adapted", "adapted_thresholded", "components")
    assert found == [
        [(own, "panoptic", "source"), (own, "semantic", "source")],
        [
            *((own, section, "selftrain") for section in ("panoptic", "semantic", "instance")),
            *((f"{own}_{name}", "instance", name) for name in others),
        ],
        [(own, "semantic", "adapted")],
    ]


def test_labels_of_the_target_have_their_own_name(tmp_path: Path) -> None:
    own = "panoptic_seg"
    assert filled(tmp_path, "oracle.yaml") == [[(own, s, "oracle") for s in ("panoptic", "semantic", "instance")]]


def test_true_masks_are_a_section_of_their_own(tmp_path: Path) -> None:
    found = filled(tmp_path, "selftrain_icm.yaml", *GROUPS, "TEST.ORACLE_MASKS", "True")
    assert found[3:] == [
        [("panoptic_seg", "instance_oracle_masks", row)] for row in ("source", "adapted", "components", "selftrain")
    ]


def test_one_branch_alone(tmp_path: Path) -> None:
    """Semantic stages; what separates objects without a network is scored inside the final masks."""
    assert filled(tmp_path, "semantic_selftrain.yaml") == [
        [("panoptic_seg", "semantic", "source")],
        [("panoptic_seg", "semantic", "adapted")],
        [("panoptic_seg", "semantic", "selftrain"), ("panoptic_seg_components", "instance", "components")],
    ]


@pytest.mark.parametrize(("agreements", "kept"), [([50.0, 51.0], 2), ([50.0, 49.0], 1)])
def test_rounds(tmp_path: Path, agreements: list[float], kept: int) -> None:
    """The round that counts has a second name, and the other models are scored inside its masks alone."""
    words = (*GROUPS, "RECIPE.ROUNDS", "2")
    options = [*OVERRIDES, *words, "OUTPUT_DIR", str(tmp_path)]
    untrained_run(tmp_path, "selftrain_icm.yaml", *words)
    runs = load_recipe(CONFIGS / "selftrain_icm.yaml", options)
    for pair, agreement in zip(rounds_of(runs), agreements):
        agreement_file(pair).write_text(json.dumps({"agreement": agreement, "basis": agreement_basis(pair)}))
    rows = ResultRows(load_config(CONFIGS / "selftrain_icm.yaml", options), runs)
    of_passes = [sorted({one.row.name for one in scored}) for _, scored in passes(rows)]
    others = ["adapted", "adapted_thresholded", "components"]
    final = [*others, "selftrain", f"selftrain_round{kept}", "source", "source_thresholded"]
    other = [f"selftrain_round{3 - kept}"]
    assert of_passes == [["source"], *([final, other] if kept == 1 else [other, final]), ["adapted"]]
