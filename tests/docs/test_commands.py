"""Every command line in a document is one that works: files, options, config keys and data sets exist.

Those in blocks of bash run in test_tutorials.py.
"""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from ptseg_d2.data.datasets import DATASET_KEYS, register_world
from ptseg_d2.data.datasets.instance_folders import FolderWorld, folder_overrides
from ptseg_d2.recipe.configs import load_config, load_recipe

import pytest
from detectron2.data import DatasetCatalog
from documents import DOCUMENTS, ROOT, Command, parsed, unfollowed_commands

PLACEHOLDERS = {"CONFIG": "configs/selftrain_icm.yaml"}
"""Words that stand for what a reader chooses."""

COMMANDS = unfollowed_commands()


@pytest.fixture(autouse=True)
def own_folders() -> Iterator[None]:
    """Loading a config with folders registers them."""
    yield
    register_world(FolderWorld())


def of_program(*names: str) -> list[Command]:
    return [command for command in COMMANDS if command.words[0] in names]


def by_place(command: Command) -> str:
    return command.place


def test_every_command_is_of_a_kind_that_is_checked() -> None:
    assert len(COMMANDS) > 60
    assert {command.words[0] for command in COMMANDS} <= {"python", "make", "pip"}


@pytest.mark.parametrize("command", of_program("python"), ids=by_place)
def test_arguments_are_known_and_configs_load(command: Command) -> None:
    _, script, *words = (PLACEHOLDERS.get(word, word) for word in command.words)
    path = ROOT / script
    assert path.is_file()
    if "argparse" not in path.read_text():
        assert not words
        return
    arguments = parsed(path, words)
    if getattr(arguments, "dataset", None):
        assert arguments.dataset in DatasetCatalog.list()
    if getattr(arguments, "config_file", None):
        check_config(arguments)


def check_config(arguments: Namespace) -> None:
    """The config, the stages that it needs and the overrides are known, and so are the data sets they name."""
    overrides = list(getattr(arguments, "opts", None) or [])
    if hasattr(arguments, "source_folder"):
        overrides = [*folder_overrides(arguments), *overrides]
    config_file = ROOT / arguments.config_file
    cfg = load_config(config_file, overrides)
    load_recipe(config_file, overrides)
    named = {name for key in DATASET_KEYS for name in cfg.DATASETS[key]}
    assert named <= set(DatasetCatalog.list())


@pytest.mark.parametrize("command", of_program("make"), ids=by_place)
def test_targets_exist(command: Command) -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(command.words[1:]) <= targets


@pytest.mark.parametrize("command", of_program("pip"), ids=by_place)
def test_packages_are_named(command: Command) -> None:
    assert command.words[1] == "install"
    extras = re.findall(r"(?:ptseg_d2|\.)\[(\w+)\]", " ".join(command.words))
    assert all(f'"{extra}":' in (ROOT / "setup.py").read_text() for extra in extras)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_configs_with_overrides_in_the_text_load(document: Path) -> None:
    """`configs/x.yaml KEY VALUE`, as tables of results have it."""
    for text in sorted(set(re.findall(r"`(configs/[\w./-]+\.yaml(?: [^`]+)?)`", document.read_text()))):
        name, *words = text.split()
        load_recipe(ROOT / name, [word for word in words if not word.startswith("--")])
