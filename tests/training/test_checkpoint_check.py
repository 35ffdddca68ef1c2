"""A checkpoint of another architecture is refused with names and counts; partial ones that are meant to be are not."""

from __future__ import annotations

import pickle
from pathlib import Path

from ptseg_d2.training.checkpoints import load_weights, local_weights

import pytest
import torch
from detectron2.modeling import build_model
from iopath.common import file_io
from tiny import small
from torch import nn

ZOO = "detectron2://COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x/137849600/model_final_f10217.pkl"
DETECTOR = "coco_to_cityscapes/mask_rcnn_miniscapes.yaml"


def saved(model: nn.Module, path: Path) -> str:
    torch.save({"model": model.state_dict()}, path)
    return str(path)


def test_another_head_names_what_is_missing_and_left_over(tmp_path: Path) -> None:
    file = saved(build_model(small("semantic_source.yaml")), tmp_path / "semantic.pth")
    model = build_model(small("instance_source.yaml"))
    with pytest.raises(ValueError, match=r"semantic.pth is of another architecture") as error:
        load_weights(model, file)
    theirs = set(torch.load(file)["model"]) - set(model.state_dict())
    ours = {name for name, _ in model.named_parameters()} - set(torch.load(file)["model"])
    text = str(error.value)
    assert f"{len(ours)} weights of the model are missing in it (head.levels.0.0" in text
    assert f"{len(theirs)} weights of it are left over (class_shares, head.aspp" in text
    assert "have another shape (head.predictor.bias: (19,) in the file, (8,) in the model" in text
    assert text.endswith("RECIPE.INIT_BACKBONE_ONLY True takes the backbone alone, which fits")
    load_weights(model, file, backbone_only=True)


def test_another_backbone(tmp_path: Path) -> None:
    file = saved(build_model(small("semantic_source.yaml")), tmp_path / "shallow.pth")
    deeper = build_model(small("instance_source.yaml", "MODEL.RESNETS.DEPTH", "18"))
    for backbone_only in (True, False):
        with pytest.raises(ValueError, match=r"weights of the model are missing in it \(backbone.res2.1") as error:
            load_weights(deeper, file, backbone_only=backbone_only)
        assert "INIT_BACKBONE_ONLY" not in str(error.value)


def test_another_number_of_classes(tmp_path: Path) -> None:
    file = saved(build_model(small(DETECTOR)), tmp_path / "seven.pth")
    eight = ["MODEL.ROI_HEADS.NUM_CLASSES", "8", "MODEL.DETECTOR.CLASSES"]
    names = "['person', 'rider', 'car', 'truck', 'bus', 'train', 'motorcycle', 'bicycle']"
    with pytest.raises(ValueError, match=r"have another shape .*box_predictor.*in the file, .*in the model"):
        load_weights(build_model(small(DETECTOR, *eight, names)), file)


def test_a_teachers_checkpoint_is_none_of_a_single_network(tmp_path: Path) -> None:
    file = saved(build_model(small("semantic_selftrain.yaml")), tmp_path / "pair.pth")
    with pytest.raises(ValueError, match=r"left over \(.*student"):
        load_weights(build_model(small("semantic_source.yaml")), file)


def test_student_and_teacher_refuse_another_network(tmp_path: Path) -> None:
    file = saved(build_model(small("semantic_source.yaml")), tmp_path / "semantic.pth")
    with pytest.raises(ValueError, match=r"missing in it \(student.head"):
        load_weights(build_model(small("selftrain_icm.yaml")), file)


def resnet_file(path: Path, depth: int, fine_stem: bool = True) -> str:
    """Foreign weights under a ResNet's own names, with ImageNet's classifier."""
    backbone = build_model(small("semantic_source.yaml", "MODEL.RESNETS.DEPTH", str(depth))).backbone
    weights = {name: value.numpy() for name, value in backbone.state_dict().items() if "num_batches" not in name}
    weights["stem.fc.weight"] = torch.zeros(1000, 4).numpy()
    path.write_bytes(pickle.dumps({"model": weights, "__author__": "test", "matching_heuristics": True}))
    return str(path)


def test_foreign_backbones(tmp_path: Path) -> None:
    """The right one is loaded though head and classifier differ; a deeper or shallower one is refused."""
    files = {depth: resnet_file(tmp_path / f"R-{depth}.pkl", depth) for depth in (10, 18)}
    for config in ("semantic_source.yaml", "semantic_selftrain.yaml", DETECTOR):
        load_weights(build_model(small(config)), files[10])
        with pytest.raises(ValueError, match=r"R-18.pkl is of another .* left over \(res2.1"):
            load_weights(build_model(small(config)), files[18])
    with pytest.raises(ValueError, match=r"R-10.pkl is of another .* missing in it \(backbone.res2.1"):
        load_weights(build_model(small("semantic_source.yaml", "MODEL.RESNETS.DEPTH", "18")), files[10])


def test_foreign_names_that_nothing_matches(tmp_path: Path) -> None:
    path = tmp_path / "R.pkl"
    weights = {"layer1.0.kernel": torch.zeros(3).numpy()}
    path.write_bytes(pickle.dumps({"model": weights, "matching_heuristics": True, "__author__": "test"}))
    with pytest.raises(ValueError, match=r"1 weights of it are left over \(layer1.0.kernel\)"):
        load_weights(build_model(small("semantic_source.yaml")), str(path))


def test_without_network_the_error_says_which_file_to_put_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path))
    monkeypatch.setattr(file_io, "download", fail)
    place = tmp_path / "detectron2" / ZOO.removeprefix("detectron2://")
    with pytest.raises(FileNotFoundError) as error:
        local_weights(ZOO)
    text = str(error.value)
    assert "Name or service not known" in text and f"here as {place}" in text and "MODEL.WEIGHTS" in text
    assert "https://dl.fbaipublicfiles.com/detectron2/COCO-InstanceSegmentation/" in text
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(b"weights")
    assert local_weights(ZOO) == str(place)
