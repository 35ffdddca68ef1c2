"""Which checkpoint a recipe's networks are loaded from, which classes each separates, and in which role."""

from __future__ import annotations

from pathlib import Path

from ptseg_d2.classes.streets import THING_IDS
from ptseg_d2.errors import RecipeError
from ptseg_d2.inference.instance_grouping import EmbeddingGrouping
from ptseg_d2.inference.panoptic_model import PanopticModel
from ptseg_d2.recipe import models as models_module
from ptseg_d2.recipe.configs import load_config, load_recipe
from ptseg_d2.recipe.groups import parts_of
from ptseg_d2.recipe.models import StageModels, trained_network
from ptseg_d2.runs.records import run_once

import pytest
from detectron2.config import CfgNode
from tiny import CONFIGS
from torch import Tensor, nn

RECIPE = CONFIGS / "selftrain_icm.yaml"
PERSON, RIDER, CAR = 11, 12, 13
REST = tuple(sorted({*THING_IDS} - {PERSON, RIDER, CAR}))
WORDS = ["INSTANCE.GROUPS", "[['car'], ['person', 'rider']]", "EVAL.MIN_SCORE", "0.25"]


class Named(nn.Module):
    """A network that knows where it is from; one of self-training holds two others."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        if "selftrain" in name and ":" not in name:
            self.student, self.teacher = Named(f"{name}:student"), Named(f"{name}:teacher")

    def predict(self, images: Tensor) -> dict[str, Tensor]:
        """As `DensePredictor` asks; nobody calls it."""
        raise NotImplementedError


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Checkpoints that were loaded, below OUTPUT_DIR, from a recipe whose stages are all finished."""
    names: list[str] = []

    def load(cfg: CfgNode, inputs: object, weights: str) -> Named:
        names.append(Path(weights).relative_to(tmp_path).as_posix().removesuffix("/model_final.pth"))
        return Named(names[-1])

    monkeypatch.setattr(models_module, "load_network", load)
    return names


def finished(folder: Path, *overrides: str) -> StageModels:
    words = [*WORDS, "OUTPUT_DIR", str(folder), *overrides]
    runs = load_recipe(RECIPE, words)
    for run in runs:
        for part in parts_of(run):
            run_once(part, lambda run: None)
    return StageModels(load_config(RECIPE, words), runs)


def names_of(model: PanopticModel) -> list[str]:
    """The semantic network and those of the groups."""
    assert isinstance(model.grouping, EmbeddingGrouping) and isinstance(model.semantic, Named)
    found = [model.semantic, *(network for _, network in model.grouping.networks)]
    return [network.name for network in found if isinstance(network, Named)]


def test_classes_that_no_group_separates_keep_the_network_of_the_start(tmp_path: Path, loaded: list[str]) -> None:
    grouping = finished(tmp_path).grouping("instance_selftrain")
    assert [ids for ids, _ in grouping.networks] == [(CAR,), (PERSON, RIDER), REST]
    assert loaded == ["instance_selftrain/car", "instance_selftrain/person+rider", "instance_adapted"]


def test_a_start_that_gave_its_backbone_alone_separates_nothing(
    tmp_path: Path, loaded: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    grouping = finished(tmp_path, "RECIPE.INIT_BACKBONE_ONLY", "True").grouping("instance_selftrain")
    assert [ids for ids, _ in grouping.networks] == [(CAR,), (PERSON, RIDER)]
    assert "instance_selftrain separates truck, bus, train, motorcycle, bicycle" in caplog.text


def test_systems_share_the_networks_of_a_stage_and_the_target_decides_the_threshold(
    tmp_path: Path, loaded: list[str]
) -> None:
    models = finished(tmp_path)
    source, mixed = (models.system(name, "instance_source") for name in ("semantic_source", "semantic_selftrain"))
    assert names_of(source) == ["semantic_source", "instance_source"]
    assert names_of(mixed) == ["semantic_selftrain", "instance_source"]
    assert loaded == ["semantic_source", "instance_source", "semantic_selftrain"]
    assert source.grouping is mixed.grouping and source.min_score == 0
    assert models.system("semantic_source", "instance_selftrain").min_score == 0.25


@pytest.mark.parametrize("role", ["student", "teacher", ""])
def test_a_role_is_that_of_both_branches(role: str, tmp_path: Path, loaded: list[str]) -> None:
    """The network that the groups started from has no roles."""
    models = finished(tmp_path)
    system = models.round_system(models.runs["semantic_selftrain"], models.runs["instance_selftrain"], role)
    mark = f":{role}" if role else ""
    assert names_of(system) == [
        f"semantic_selftrain{mark}",
        *(f"instance_selftrain/{group}{mark}" for group in ("car", "person+rider")),
        "instance_adapted",
    ]


def test_networks_that_are_not_there_are_refused(tmp_path: Path, loaded: list[str]) -> None:
    (run,) = load_recipe(CONFIGS / "semantic_source.yaml", ["OUTPUT_DIR", str(tmp_path)])
    with pytest.raises(RecipeError, match="semantic_source is not finished"):
        trained_network(run)
    run_once(run, lambda run: None)
    with pytest.raises(RecipeError, match=r"other settings \(MODEL.RESNETS.DEPTH was .*, is 101\)"):
        trained_network(run.with_keys({"MODEL.RESNETS.DEPTH": 101}))
    trained_network(run.with_keys({"SOLVER.MAX_ITER": 1}))  # how long it was trained does not matter to who loads it
    assert loaded == ["semantic_source"]
