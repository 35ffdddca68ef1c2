"""Which weights reach a model, above all student and teacher."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path

from ptseg_d2.modeling.network import DenseNetwork
from ptseg_d2.modeling.teachers.momentum_teacher import MomentumTeacher
from ptseg_d2.recipe.configs import load_recipe
from ptseg_d2.stages import StageInputs
from ptseg_d2.training.checkpoints import load_network, load_weights, require_weights
from ptseg_d2.training.trainer import Trainer

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model
from tiny import CONFIGS, TINY, small
from torch import Tensor

ROLES = ("student", "teacher")
TEACHERS = ["semantic_selftrain.yaml", "selftrain_icm.yaml"]


def build(name: str, seed: int) -> MomentumTeacher:
    torch.manual_seed(seed)
    model = build_model(small(name))
    assert isinstance(model, MomentumTeacher)
    return model


def write_backbone(network: DenseNetwork, path: Path) -> dict[str, np.ndarray]:
    """A file of backbone weights alone, under Detectron2's names, as tools/convert_torchvision_resnet.py writes it."""
    backbone = network.backbone.state_dict()
    weights = {name: torch.randn(value.shape).numpy() for name, value in backbone.items() if "num_batches" not in name}
    path.write_bytes(pickle.dumps({"model": weights, "__author__": "torchvision", "matching_heuristics": True}))
    return weights


def expected_state(before: dict[str, Tensor], backbone: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """Of student and teacher after loading a backbone: it for both, and the student's head for both."""
    expected = {}
    for name in before:
        own_name = name.replace("teacher.", "student.", 1)
        inside = own_name.replace("student.backbone.", "", 1)
        expected[name] = torch.from_numpy(backbone[inside]) if inside in backbone else before[own_name]
    return expected


def assert_equal_states(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert [name for name, value in found.items() if not torch.equal(value, expected[name])] == []


@pytest.mark.parametrize("name", TEACHERS)
def test_imagenet_weights_reach_student_and_teacher(name: str, tmp_path: Path) -> None:
    model = build(name, seed=0)
    backbone = write_backbone(model.student, tmp_path / "R.pkl")
    assert all(name.startswith(("stem.", "res")) for name in backbone)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    load_weights(model, str(tmp_path / "R.pkl"))
    assert_equal_states(model.state_dict(), expected_state(before, backbone))


def test_a_fresh_trainer_and_the_stages_load_them_so(world: Path, tmp_path: Path) -> None:
    backbone = write_backbone(build("semantic_selftrain.yaml", seed=0).student, tmp_path / "R.pkl")
    overrides = [*TINY, "OUTPUT_DIR", str(tmp_path / "out"), "RECIPE.INIT_FROM", "", "MODEL.WEIGHTS"]
    cfg = load_recipe(CONFIGS / "semantic_selftrain.yaml", [*overrides, str(tmp_path / "R.pkl")])[-1].cfg
    Path(cfg.OUTPUT_DIR).mkdir(parents=True)
    trainer = Trainer(cfg, StageInputs.from_config(cfg))
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.resume_or_load(resume=True)  # nothing to resume
    assert_equal_states(trainer.model.state_dict(), expected_state(before, backbone))
    assert trainer.start_iter == trainer.data_loader.start_step == 0
    loaded = load_network(cfg, StageInputs.from_config(cfg)).state_dict()
    for name, value in backbone.items():
        for role in ("student", "teacher"):
            assert torch.equal(loaded[f"{role}.backbone.{name}"], torch.from_numpy(value))


def test_own_checkpoint_keeps_student_and_teacher_apart(tmp_path: Path) -> None:
    model, other = build("semantic_selftrain.yaml", seed=0), build("semantic_selftrain.yaml", seed=2)
    model.teacher.load_state_dict(build("semantic_selftrain.yaml", seed=1).teacher.state_dict())
    torch.save({"model": model.state_dict()}, tmp_path / "model_final.pth")
    load_weights(other, str(tmp_path / "model_final.pth"))
    assert_equal_states(other.state_dict(), model.state_dict())


def test_single_network_of_an_earlier_stage_initialises_both(tmp_path: Path) -> None:
    torch.manual_seed(1)
    single = build_model(small("semantic_source.yaml"))
    torch.save({"model": single.state_dict()}, tmp_path / "model_final.pth")
    model = build("semantic_selftrain.yaml", seed=2)
    load_weights(model, str(tmp_path / "model_final.pth"))
    assert_equal_states(model.student.state_dict(), single.state_dict())
    assert_equal_states(model.teacher.state_dict(), single.state_dict())


def test_backbone_alone_leaves_the_head(tmp_path: Path) -> None:
    torch.manual_seed(1)
    semantic = build_model(small("semantic_source.yaml")).state_dict()
    torch.save({"model": semantic}, tmp_path / "model_final.pth")
    model = build_model(small("instance_source.yaml"))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    load_weights(model, str(tmp_path / "model_final.pth"), backbone_only=True)
    expected = {name: semantic[name] if name.startswith("backbone.") else value for name, value in before.items()}
    assert_equal_states(model.state_dict(), expected)


def test_backbone_of_a_teachers_checkpoint(tmp_path: Path) -> None:
    """It is the student's that goes into a single network, and into student and teacher of another kind alike."""
    semantic = build("semantic_selftrain.yaml", seed=1)
    with torch.no_grad():
        for value in semantic.teacher.parameters():
            value.add_(1)
    torch.save({"model": semantic.state_dict()}, tmp_path / "model_final.pth")
    backbone = semantic.student.backbone.state_dict()
    single = build_model(small("instance_source.yaml"))
    load_weights(single, str(tmp_path / "model_final.pth"), backbone_only=True)
    assert_equal_states(single.backbone.state_dict(), backbone)
    model = build("selftrain_icm.yaml", seed=2)
    heads = {role: {n: v.clone() for n, v in getattr(model, role).head.state_dict().items()} for role in ROLES}
    load_weights(model, str(tmp_path / "model_final.pth"), backbone_only=True)
    for role in ROLES:
        assert_equal_states(getattr(model, role).backbone.state_dict(), backbone)
        assert_equal_states(getattr(model, role).head.state_dict(), heads[role])


def test_a_file_without_a_backbone_is_named(tmp_path: Path) -> None:
    """Weights of a backbone alone are read without RECIPE.INIT_BACKBONE_ONLY."""
    model = build("semantic_selftrain.yaml", seed=0)
    write_backbone(model.student, tmp_path / "R.pkl")
    with pytest.raises(ValueError, match=r"R\.pkl holds no weight named backbone.*INIT_BACKBONE_ONLY.*False"):
        load_weights(model.student, str(tmp_path / "R.pkl"), backbone_only=True)
    load_weights(model, "", backbone_only=True)


def test_a_model_that_is_not_trained_may_start_from_a_backbone_too(tmp_path: Path) -> None:
    semantic = build_model(small("semantic_source.yaml"))
    torch.save({"model": semantic.state_dict()}, tmp_path / "model_final.pth")
    backbone_only = ["RECIPE.INIT_BACKBONE_ONLY", "True", "MODEL.WEIGHTS", str(tmp_path / "model_final.pth")]
    model = load_network(small("selftrain_icm.yaml", *backbone_only), StageInputs())
    assert isinstance(model, MomentumTeacher)
    assert_equal_states(model.student.backbone.state_dict(), semantic.backbone.state_dict())


def test_missing_weights_say_how_to_make_them() -> None:
    with pytest.raises(
        FileNotFoundError, match=r"weights/R-18.pkl .*RECIPE.NEEDS.*tools/convert_torchvision_resnet.py"
    ):
        require_weights("weights/R-18.pkl")
    require_weights("")
    require_weights("detectron2://ImageNetPretrained/MSRA/R-101.pkl")


def test_what_a_planned_start_leaves_out_is_a_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not the list of warnings that Detectron2 prints."""
    network = build_model(small("semantic_source.yaml"))
    torch.save({"model": network.state_dict()}, tmp_path / "source.pth")
    with caplog.at_level(logging.INFO):
        load_weights(build("semantic_selftrain.yaml", 0), str(tmp_path / "source.pth"))
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []
    (line,) = [r.getMessage() for r in caplog.records if r.name == "ptseg_d2.training.checkpoints"]
    assert "weights and buffers are not in it and keep their initial values (labeler.class_prior, num_steps" in line
