"""Every config loads, names things that exist, and costs what [GTA5-report] says."""

from __future__ import annotations

from pathlib import Path

from ptseg_d2.errors import RecipeError
from ptseg_d2.recipe.configs import load_config, load_recipe
from ptseg_d2.runs.settings import settings
from ptseg_d2.stages import STAGES, StageRun
from ptseg_d2.stages.table import Branch

import analyze_model
import pytest
import torch
from detectron2.data import DatasetCatalog
from detectron2.modeling import BACKBONE_REGISTRY, META_ARCH_REGISTRY, SEM_SEG_HEADS_REGISTRY
from tiny import CONFIGS

ALL = sorted(CONFIGS.rglob("*.yaml"))
PARTS = ("base", "networks")
"""Folders of files that other configs build on."""
ASKED = [path for path in ALL if path.parent.name not in PARTS]
PAPER_SCALE = [path for path in ASKED if path.parent.name.endswith("cityscapes") and "miniscapes" not in path.name]


def is_detector(path: Path) -> bool:
    return load_config(path).RECIPE.STAGE in (name for name, stage in STAGES.items() if stage.branch is Branch.DETECTOR)


SMALL_NETWORKS = sorted(path for path in (CONFIGS / "networks").iterdir() if "_" not in path.name)


def name_of(path: Path) -> str:
    return str(path.relative_to(CONFIGS))


@pytest.mark.parametrize("path", ALL, ids=name_of)
def test_every_file_loads(path: Path) -> None:
    load_config(path)
    assert bool(load_recipe(path)) == (path.parent.name not in PARTS)


@pytest.mark.parametrize("path", ASKED, ids=name_of)
def test_named_parts_exist(path: Path) -> None:
    runs = load_recipe(path)
    names = [run.name for run in runs]
    assert len(set(names)) == len(names)
    for position, run in enumerate(runs):
        cfg = run.cfg
        assert cfg.MODEL.META_ARCHITECTURE in META_ARCH_REGISTRY
        assert cfg.MODEL.BACKBONE.NAME in BACKBONE_REGISTRY
        assert cfg.MODEL.BISENET.CONTEXT_BACKBONE in BACKBONE_REGISTRY
        if run.stage.branch is Branch.SEMANTIC:
            assert cfg.MODEL.SEM_SEG_HEAD.NAME in SEM_SEG_HEADS_REGISTRY
        assert {*cfg.DATASETS.SOURCE, *cfg.DATASETS.TARGET, *cfg.DATASETS.TEST} <= set(DatasetCatalog.list())
        for earlier in (cfg.RECIPE.INIT_FROM, cfg.RECIPE.MASKS_FROM):
            assert not earlier or earlier in names[:position]


@pytest.mark.parametrize("path", PAPER_SCALE, ids=name_of)
def test_paper_scale_recipes_have_their_own_folders_and_one_network(path: Path) -> None:
    runs = load_recipe(path)
    assert runs[-1].folder.parts[0] == "output" and runs[-1].cfg.MODEL.DEVICE == "cuda"
    semantic = [run for run in runs if run.stage.branch is Branch.SEMANTIC]
    for key in ("MODEL.BACKBONE.NAME", "MODEL.SEM_SEG_HEAD.NAME", "MODEL.PIXEL_MEAN", "INPUT.FORMAT", "SOLVER.BASE_LR"):
        assert len({str(settings(run)[key]) for run in semantic}) <= 1, key


def test_user_facing_configs_write_to_different_folders() -> None:
    folders = [load_config(path).OUTPUT_DIR for path in ASKED if path.parent.name.endswith("_to_cityscapes")]
    assert len(set(folders)) == len(folders) > 0


def build(path: Path, *overrides: str, device: str = "cpu") -> dict[str, analyze_model.DenseNetwork]:
    """The networks of a config by branch; the device "meta" gives shapes without numbers."""
    stages = analyze_model.networks_of(str(path), [*overrides, "MODEL.DEVICE", device])
    with torch.device(device):
        return {branch: analyze_model.build_network(cfg) for branch, cfg in stages.items()}


@pytest.mark.parametrize(
    ("name", "megaparameters", "giga_flops"), [("deeplabv2_r101", 43.90, 375.0), ("bisenet_r18", 12.58, 25.78)]
)
def test_cost_is_that_of_the_report(name: str, megaparameters: float, giga_flops: float) -> None:
    """[GTA5-report], tables 1 and 2, at 1024x512: 16 times 256x128."""
    network = build(CONFIGS / "synthia_to_cityscapes" / f"semantic_{name}.yaml")["semantic"]
    assert analyze_model.count_parameters(network) / 1e6 == pytest.approx(megaparameters, rel=0.05)
    assert 16 * analyze_model.count_flops(network, 128, 256) / 1e9 == pytest.approx(giga_flops, rel=0.05)


@pytest.mark.parametrize("path", [path for path in PAPER_SCALE if not is_detector(path)], ids=name_of)
def test_paper_scale_networks_can_be_built(path: Path) -> None:
    assert all(analyze_model.count_parameters(network) > 1e7 for network in build(path, device="meta").values())


@pytest.mark.parametrize(("depth", "megaparameters"), [(18, 11.18 + 0.35), (50, 23.51 + 1.40), (101, 42.50 + 1.40)])
def test_deeplabv2_has_three_backbones(depth: int, megaparameters: float) -> None:
    """The ResNet without its classifier ([ResNet]) and four 3x3 convolutions from its channels to 19 classes."""
    override = ("RECIPE.SEMANTIC_NETWORK", f"../networks/cityscapes_deeplabv2_r{depth}.yaml")
    network = build(CONFIGS / "synthia_to_cityscapes" / "semantic_deeplabv2_r101.yaml", *override, device="meta")
    assert analyze_model.count_parameters(network["semantic"]) / 1e6 == pytest.approx(megaparameters, rel=1e-3)


@pytest.mark.parametrize("network", SMALL_NETWORKS, ids=lambda path: path.stem)
def test_small_networks_fit_two_cores(network: Path) -> None:
    """No more FLOPs than the network of the small configs itself."""
    own = build(CONFIGS / "semantic_source.yaml")["semantic"]
    other = build(CONFIGS / "semantic_source.yaml", "RECIPE.SEMANTIC_NETWORK", f"networks/{network.name}")
    cost = analyze_model.count_flops(other["semantic"], 128, 256)
    assert 0 < cost <= analyze_model.count_flops(own, 128, 256)


def heads(runs: list[StageRun]) -> dict[str, str]:
    return {run.name: run.cfg.MODEL.SEM_SEG_HEAD.NAME for run in runs}


def test_a_network_file_reaches_the_semantic_stages_only() -> None:
    default = load_recipe(CONFIGS / "selftrain_icm.yaml")
    chosen = load_recipe(CONFIGS / "selftrain_icm.yaml", ["RECIPE.SEMANTIC_NETWORK", "networks/bisenet.yaml"])
    for before, after in zip(default, chosen):
        if after.stage.branch is Branch.SEMANTIC:
            assert after.cfg.MODEL.SEM_SEG_HEAD.NAME == "BiSeNetHead"
            assert after.cfg.MODEL.RESNETS.OUT_FEATURES == ["res4", "res5"]
        else:
            assert settings(before) == settings(after)


def test_a_network_file_counts_for_the_asked_config_and_for_the_stages_it_needs() -> None:
    stages = load_recipe(CONFIGS / "synthia_to_cityscapes" / "semantic_bisenet_r18.yaml")
    assert heads(stages) == dict.fromkeys(["semantic_source", "semantic_adapted", "semantic_selftrain"], "BiSeNetHead")
    assert stages[0].cfg.MODEL.WEIGHTS == "weights/R-18.pkl"
    assert stages[1].cfg.MODEL.WEIGHTS == str(stages[0].final_weights)
    assert [run.cfg.INPUT.CROP_SIZE for run in stages] == [(640, 640), (512, 1024), (512, 1024)]


@pytest.mark.parametrize("path", ASKED, ids=name_of)
def test_classes_that_synthia_lacks_are_drawn_uniformly(path: Path) -> None:
    """Where SYNTHIA is the only source; GTA5 and miniscapes show every class."""
    for cfg in (run.cfg for run in load_recipe(path)):
        if cfg.MODEL.META_ARCHITECTURE == "SemanticMomentumTeacher":
            lacking = cfg.DATASETS.SOURCE == ("synthia_labeled_train",)
            assert cfg.INPUT.UNIFORM_CLASSES == (["terrain", "truck", "train"] if lacking else [])


def test_overrides_win_over_the_network_file() -> None:
    overrides = ["RECIPE.SEMANTIC_NETWORK", "networks/bisenet.yaml", "MODEL.BISENET.SPATIAL_CHANNELS", "[1, 2, 3]"]
    for cfg in (
        load_config(CONFIGS / "semantic_source.yaml", overrides),
        load_recipe(CONFIGS / "semantic_adapted.yaml", overrides)[0].cfg,
    ):
        assert cfg.MODEL.BISENET.SPATIAL_CHANNELS == [1, 2, 3]


def test_missing_or_wrong_network_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere.yaml"):
        load_config(CONFIGS / "semantic_source.yaml", ["RECIPE.SEMANTIC_NETWORK", "nowhere.yaml"])
    path = tmp_path / "mine.yaml"
    path.write_text("VERSION: 2\nMODEL:\n  BAKCBONE: 1\n")
    with pytest.raises(RecipeError, match="mine.yaml.*BAKCBONE"):
        load_config(CONFIGS / "semantic_source.yaml", ["RECIPE.SEMANTIC_NETWORK", str(path)])
