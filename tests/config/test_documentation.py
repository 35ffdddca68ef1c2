"""docs/configuration.md is what the comments say today."""

from __future__ import annotations

from pathlib import Path

from ptseg_d2.config.documentation import main, page

DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_document_is_fresh() -> None:
    command = "python -m ptseg_d2.config.documentation docs/configuration.md"
    assert DOCUMENT.read_text(encoding="utf-8") == page(), f"docs/configuration.md is out of date; run: {command}"


def test_the_document_is_written(tmp_path: Path) -> None:
    main([str(tmp_path / "keys.md")])
    assert (tmp_path / "keys.md").read_text(encoding="utf-8") == page()


def test_a_node_is_a_table() -> None:
    lines = page().splitlines()
    start = lines.index("### EVAL.CENTERS")
    assert lines[start + 2].startswith("How EINet's instances are found")
    assert lines[start + 4 : start + 7] == [
        "| key | default | unit or range | meaning |",
        "|---|---|---|---|",
        "| `EVAL.CENTERS.THRESHOLD` | `0.1` | [0, 1] | lowest value of a centre |",
    ]
    assert sum(line.startswith("| `EVAL.CENTERS.") for line in lines) == 4
