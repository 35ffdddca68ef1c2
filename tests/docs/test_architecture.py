"""docs/architecture.md says what the code does: stages, packages, files of a run, keys of results.json."""

from __future__ import annotations

import json
import re
from pathlib import Path

from ptseg_d2.config import get_ptseg_cfg
from ptseg_d2.stages import STAGES
from ptseg_d2.stages.table import SUPERVISED

import pytest
import tomllib
from documents import ROOT

TEXT = (ROOT / "docs" / "architecture.md").read_text()
PICTURES = sorted((ROOT / "docs" / "pictures").glob("*.svg"))


def table(heading: str, first_header: str = "") -> list[list[str]]:
    """Cells of a table's rows, without its head.

    Args:
        heading: of the section.
        first_header: of the first column; "" = the first table of the section.
    """
    section = TEXT.split(f"## {heading}\n")[1].split("\n## ")[0]
    found = [rows.splitlines() for rows in re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE)]
    rows = next(rows for rows in found if rows[0].startswith(f"| {first_header}"))
    return [[cell.strip() for cell in row[1:-1].split("|")] for row in rows[2:]]


def names_in(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_the_table_of_stages_is_that_of_the_code() -> None:
    rows = table("Stages")
    assert [names_in(row[0])[0] for row in rows] == list(STAGES)
    for (_, branch, _, sees_target, leaves, _), stage in zip(rows, STAGES.values()):
        assert branch == stage.branch.value
        assert sees_target.split(",")[0] == ("yes" if stage.sees_target else "no"), stage.name
        assert leaves == (stage.writes.value if stage.writes else ""), stage.name


def test_the_rows_of_stages_are_those_of_the_code() -> None:
    supervised = get_ptseg_cfg().EVAL.SUPERVISED_ROW
    for row, stage in zip(table("Stages"), STAGES.values()):
        assert names_in(row[5]) == [supervised if stage.model == SUPERVISED else stage.model]


def test_the_table_of_packages_is_the_contract_of_the_linter() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    packages = [{name for name in layer.split(" | ") if (ROOT / "ptseg_d2" / name).is_dir()} for layer in layers]
    rows = [{name.removeprefix("ptseg_d2.") for name in names_in(row[0])} for row in table("Packages", "packages")]
    assert rows == [{"tools"}, *filter(None, packages), set()]  # the last row is that of single modules


@pytest.mark.parametrize("picture", PICTURES, ids=lambda path: path.name)
def test_modules_at_the_arrows_exist(picture: Path) -> None:
    texts = re.findall(r'<text class="module[^>]*>([^<]+)</text>', picture.read_text())
    # The folder stands above an arrow and the module, with a dot before it, below.
    whole = " ".join(texts).replace(" .", ".").replace(",", " ")
    assert len(whole.split()) >= 8
    for name in whole.split():
        path = ROOT / "ptseg_d2" / name.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__init__.py").exists(), name


def test_every_file_of_a_run_is_explained(trained: Path) -> None:
    run = trained / "output" / "miniscapes"
    rows = [*table("What a run folder holds", "in `OUTPUT_DIR`"), *table("What a run folder holds", "in a stage")]
    named = {name.split("/")[0] for row in rows for name in names_in(row[0])}
    patterns = [re.compile(re.escape(name).replace(r"\*", ".*")) for name in named if not name.startswith("<")]

    def unexplained(folder: Path) -> list[str]:
        return [path.name for path in folder.iterdir() if not any(p.fullmatch(path.name) for p in patterns)]

    assert set(unexplained(run)) <= set(STAGES)
    for stage in set(STAGES) & {path.name for path in run.iterdir()}:
        groups = unexplained(run / stage)
        assert all((run / stage / group / "done.json").exists() for group in groups)
        assert [name for group in groups for name in unexplained(run / stage / group)] == []


def test_every_number_of_results_json_is_explained(trained: Path) -> None:
    results = json.loads((trained / "output" / "miniscapes" / "results.json").read_text())
    explained = {name: names_in(row[1]) for row in table("What results.json holds") for name in names_in(row[0])}
    assert set(results) <= set(explained)
    for section in ("panoptic", "semantic", "instance"):
        suffixed = {f"{name}{end}" for name in ("PQ", "SQ", "RQ") for end in ("_th", "_st")}
        for row in results[section].values():
            assert set(row) <= {*explained[section], *suffixed, "ci95"}
            assert {name for name in explained[section] if not name.startswith("_")} <= {
                *row,
                *(key for of_class in row.get("per_class", {}).values() for key in of_class),
            }
