"""The tutorials are followed from top to bottom, at tiny size: every block runs, in its order.

Commands in blocks without a language are only parsed, by test_commands.py.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ptseg_d2.data.datasets import DATASET_REGISTRY, register_all
from ptseg_d2.data.label_readers import LABEL_READER_REGISTRY
from ptseg_d2.pseudo_labels.rules import PSEUDO_LABEL_REGISTRY

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from documents import DOCUMENTS, ROOT, Block, blocks, commands_in, followed, make_workplace, patched, run_command
from tiny import TINY

TRAIN = "tools/train_net.py"
TUTORIALS = ("your_own_images", "add_a_dataset", "add_a_pseudo_label_rule")


@pytest.fixture(autouse=True)
def registries(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a tutorial registers is gone after it."""
    for registry in (DATASET_REGISTRY, LABEL_READER_REGISTRY, PSEUDO_LABEL_REGISTRY):
        monkeypatch.setattr(registry, "_obj_map", dict(registry._obj_map))
    for catalog in (DatasetCatalog, MetadataCatalog):
        monkeypatch.setattr(catalog, "data", dict(catalog.data))


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout in which nothing was run yet, as the working directory."""
    folder = make_workplace(tmp_path / "checkout")
    monkeypatch.chdir(folder)
    monkeypatch.delenv("DETECTRON2_DATASETS", raising=False)
    return folder


def follow(name: str, overrides: Sequence[str], patch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Do what docs/NAME.md says, in the working directory.

    Args:
        name: of the tutorial.
        overrides: KEY VALUE pairs that make training small.
        patch: takes back the import of modules that the tutorial writes.

    Returns:
        The names that its Python has defined.
    """
    names: dict[str, Any] = {}
    for block in blocks(ROOT / "docs" / f"{name}.md"):
        if block.title:
            write(block, patch)
        elif block.language == "python":
            exec(code_of(block), names)
        elif followed(block):
            for command in commands_in(block):
                run_command(command.words, overrides if TRAIN in command.words else ())
    return names


def code_of(block: Block) -> Any:
    """Its code, whose errors show the lines of the document."""
    return compile("\n" * (block.line - 1) + block.text, block.document.name, "exec")


def write(block: Block, patch: pytest.MonkeyPatch) -> None:
    """Make or change a file: a module of the package is imported, a test is run, an import line is looked for."""
    file = Path(block.title)
    file.parent.mkdir(parents=True, exist_ok=True)
    text = patched((ROOT / file).read_text(), block.text) if block.language == "diff" else block.text
    file.write_text(text)
    if block.language == "diff":
        added = [line[1:].strip(" ,\n") for line in block.text.splitlines() if line.startswith("+")]
        assert set(added) <= imported_names(text)
    elif file.parts[0] == "ptseg_d2":
        import_as(file, patch)
    elif file.parts[0] == "tests":
        names: dict[str, Any] = {}
        exec(code_of(block), names)
        tests = [names[name] for name in names if name.startswith("test_")]
        assert tests
        for test in tests:
            test()


def imported_names(code: str) -> set[str]:
    return {
        alias.name for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ImportFrom) for alias in node.names
    }


def import_as(file: Path, patch: pytest.MonkeyPatch) -> None:
    """Import a file under the name that it would have in the package."""
    name = ".".join(file.with_suffix("").parts)
    spec = importlib.util.spec_from_file_location(name, file.resolve())
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    patch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    register_all()


def test_every_document_with_blocks_to_follow_is_followed() -> None:
    assert {path.stem for path in DOCUMENTS if any(followed(block) for block in blocks(path))} == set(TUTORIALS)


def test_your_own_images(workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    small = [*TINY, "INSTANCE.GROUPS", "[]", "INPUT.CROP_SIZE", "(32, 32)", "SOLVER.TARGET_PER_BATCH", "2"]
    names = follow("your_own_images", small, monkeypatch)
    assert len(list((workplace / "output" / "samples").glob("*.png"))) == 4
    assert list(names["results"]["panoptic"]) == ["source", "selftrain"]
    assert list(names["results"]["panoptic"]["selftrain"]["per_class"]) == ["background", "disc"]
    assert len(list((workplace / "output" / "overlays").glob("*.png"))) == 6
    assert "objects, areas in pixels" in capsys.readouterr().out
    unlabelled = json.loads((workplace / "output" / "discs_unlabelled" / "results.json").read_text())
    assert unlabelled["datasets"]["test"] == [] and "panoptic" not in unlabelled


def test_add_a_dataset(workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    small = [*TINY, "INSTANCE.GROUPS", "[['box'], ['ball']]", "INPUT.CROP_SIZE", "(64, 64)"]
    follow("add_a_dataset", small, monkeypatch)
    assert "[0 1 2] " in capsys.readouterr().out
    results = json.loads((workplace / "output" / "toybox" / "results.json").read_text())
    assert list(results["panoptic"]["selftrain"]["per_class"]) == ["floor", "box", "ball"]
    assert results["datasets"]["target"] == ["toybox_photo_unlabeled_train"]
    assert len(list((workplace / "output" / "toybox_overlays").glob("*.png"))) == 6


def test_add_a_pseudo_label_rule(after_training: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (after_training / "output" / "miniscapes" / "semantic_source" / "done.json").stat().st_mtime_ns
    follow("add_a_pseudo_label_rule", TINY, monkeypatch)
    run = after_training / "output" / "ablation" / "sure_half"
    assert [path.name for path in run.glob("semantic_*")] == ["semantic_selftrain"]
    assert list(json.loads((run / "results.json").read_text())["semantic"]) == ["source", "adapted", "selftrain"]
    lines = (run / "semantic_selftrain" / "metrics.json").read_text().splitlines()
    assert 0.4 < json.loads(lines[-1])["pseudo/coverage"] < 0.9
    after = (after_training / "output" / "miniscapes" / "semantic_source" / "done.json").stat().st_mtime_ns
    assert after == before
