"""Foreign checkpoints: a part of the model is in them as a whole or not at all."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path

from ptseg_d2.training.checkpoints import load_weights
from ptseg_d2.training.foreign_weights import differences

import pytest
import torch
from detectron2.modeling import Backbone, build_model
from tiny import small
from torch import Tensor, nn

Weights = dict[str, Tensor]

DETECTOR = "coco_to_cityscapes/mask_rcnn_miniscapes.yaml"
BACKBONE = "backbone.bottom_up."


def foreign(weights: Weights, path: Path) -> str:
    content = {name: value.numpy() for name, value in weights.items()}
    path.write_bytes(pickle.dumps({"model": content, "__author__": "test", "matching_heuristics": True}))
    return str(path)


def detector_file(path: Path, edit: Callable[[Weights], Weights]) -> str:
    """A detector of the model zoo, under its full names, after an edit."""
    torch.manual_seed(1)
    weights = {name: value for name, value in build_model(small(DETECTOR)).state_dict().items() if "pixel" not in name}
    return foreign(edit(weights), path)


def without(*beginnings: str) -> Callable[[Weights], Weights]:
    return lambda weights: {name: value for name, value in weights.items() if not name.startswith(beginnings)}


def only(*beginnings: str) -> Callable[[Weights], Weights]:
    return lambda weights: {name: value for name, value in weights.items() if name.startswith(beginnings)}


def renamed(old: str, new: str) -> Callable[[Weights], Weights]:
    """Names that begin with `old` begin with `new`."""
    return lambda weights: {re.sub(f"^{re.escape(old)}", new, name): value for name, value in weights.items()}


def plus(**values: Tensor) -> Callable[[Weights], Weights]:
    return lambda weights: {**weights, **{name.replace("__", "."): value for name, value in values.items()}}


WHOLE_PARTS = {
    "everything": plus(),
    "no heads": only("backbone."),
    "heads alone": without("backbone."),
    "one head": only("roi_heads.mask_head."),
    "no feature pyramid": without("backbone.fpn"),
    "feature pyramid alone": only("backbone.fpn"),
    "a head the model lacks": plus(roi_heads__keypoint_head__conv_fcn1__weight=torch.zeros(3)),
    "a network the model lacks": plus(sem_seg_head__p2__weight=torch.zeros(3)),
    "names of a backbone alone": lambda weights: renamed(BACKBONE, "")(only(BACKBONE)(weights)),
    "no statistics": lambda weights: {n: v for n, v in weights.items() if "running" not in n and "num_" not in n},
    "statistics left over": plus(backbone__bottom_up__res2__9__norm__running_mean=torch.zeros(3)),
    "a deeper backbone's last stage": plus(res6__0__conv1__weight=torch.zeros(3)),
    # MSRA's ResNets; torchvision's; pycls'.
    "a bias before a normalisation": plus(stem__conv1__bias=torch.zeros(3), fc1000__weight=torch.zeros(3)),
    "ImageNet's classifier in the stem": plus(stem__fc__weight=torch.zeros(3), stem__fc__bias=torch.zeros(3)),
    "ImageNet's classifier at the end": plus(head__fc__weight=torch.zeros(3), fc__bias=torch.zeros(3)),
}


@pytest.mark.parametrize("edit", list(WHOLE_PARTS.values()), ids=list(WHOLE_PARTS))
def test_whole_parts_are_taken(edit: Callable[[Weights], Weights], tmp_path: Path) -> None:
    """Each weight that the file has is the model's afterwards; the others are as they were."""
    weights = edit(build_model(small(DETECTOR)).state_dict())
    file = detector_file(tmp_path / "zoo.pkl", edit)
    model = build_model(small(DETECTOR))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    load_weights(model, file)
    after = model.state_dict()
    in_file = pickle.loads(Path(file).read_bytes())["model"]
    assert in_file.keys() == weights.keys() - {"pixel_mean", "pixel_std"}
    for name, value in before.items():
        theirs = in_file.get(name, in_file.get(name.removeprefix(BACKBONE)))
        assert torch.equal(after[name], value if theirs is None else torch.from_numpy(theirs)), name


PARTIAL = {
    "half of a head": (without("roi_heads.mask_head.deconv"), r"2 .* missing in it \(roi_heads.mask_head.deconv.bias,"),
    "half of a layer": (without("roi_heads.box_head.fc2.bias"), r"1 .* missing in it \(roi_heads.box_head.fc2.bias\)"),
    "a head that goes on": (
        plus(roi_heads__box_head__fc3__weight=torch.zeros(3)),
        r": 1 weights of it are left over \(roi_heads.box_head.fc3.weight\)\. ",
    ),
    "half of the proposals' head": (without("proposal_generator.rpn_head.conv"), r"missing in it \(proposal_generator"),
    "half of a feature pyramid": (without("backbone.fpn_output3"), r"2 .* missing in it \(backbone.fpn_output3.bias,"),
    "half of a stage": (
        without(BACKBONE + "res3.0.conv2"),
        r"3 .* missing in it \(backbone.bottom_up.res3.0.conv2.nor",
    ),
    "normalisations of a stage": (without(BACKBONE + "res3.0.conv2.norm"), r"2 .* missing in it .*res3.0.conv2.norm"),
    "no last stage": (without(BACKBONE + "res5"), r"missing in it \(backbone.bottom_up.res5.0.conv1.norm"),
    "no first stage": (without(BACKBONE + "stem"), r"missing in it \(backbone.bottom_up.stem"),
    "another name of a stage": (renamed(BACKBONE + "res4", "layer3"), r"missing in it \(backbone.bottom_up.res4"),
    "other names of all stages": (renamed(BACKBONE + "res", "layer"), r"36 .* missing in it \(backbone.bottom_up.res2"),
    "a deeper stage": (plus(res5__1__conv1__weight=torch.zeros(3)), r"1 .* left over \(res5.1.conv1.weight\)"),
    "a deeper stage, full name": (
        plus(backbone__bottom_up__res5__1__conv1__weight=torch.zeros(3)),
        r"1 .* left over \(backbone.bottom_up.res5.1.conv1.weight\)",
    ),
    "a bias without normalisation": (plus(box_head__fc3__bias=torch.zeros(3)), r"left over \(box_head.fc3.bias\)"),
    "other classes": (
        plus(roi_heads__box_predictor__cls_score__weight=torch.zeros(3, 4)),
        r"1 have another shape \(roi_heads.box_predictor.cls_score.weight: \(3, 4\) in the file, \(8, ",
    ),
}


@pytest.mark.parametrize(("edit", "message"), list(PARTIAL.values()), ids=list(PARTIAL))
def test_a_part_that_fits_in_part_is_refused(edit: Callable[[Weights], Weights], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"zoo.pkl is of another architecture than the model: ") as error:
        load_weights(build_model(small(DETECTOR)), detector_file(tmp_path / "zoo.pkl", edit))
    assert re.search(message, str(error.value)), error.value


class Net(Backbone):
    """Layer names of a backbone; `inner` as below a feature pyramid."""

    def __init__(self, inner: Backbone | None = None) -> None:
        super().__init__()
        self.stem = nn.Linear(2, 2)
        if inner is not None:
            self.inner = inner

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"stem": self.stem(x)}


class Model(nn.Module):
    """A backbone in a backbone, a head, and a parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Net(Net())
        self.head = nn.Linear(2, 2)
        self.scale = nn.Parameter(torch.zeros(1))
        self.register_buffer("counter", torch.zeros(1))


OUTER = {"backbone.stem.weight", "backbone.stem.bias"}
INNER = {"backbone.inner.stem.weight", "backbone.inner.stem.bias"}
NAMES = OUTER | INNER | {"head.weight", "head.bias", "scale", "counter"}


@pytest.mark.parametrize(
    ("in_file", "left_over", "wrong"),
    [
        (NAMES, set(), (set(), set(), set())),
        (NAMES - {"counter"}, {"pixel_mean"}, (set(), set(), set())),
        ({"scale"}, set(), (set(), set(), set())),
        ({"head.weight"}, set(), ({"head.bias"}, set(), set())),
        ({"head.weight", "head.bias"}, {"tail.weight", "head.0.weight"}, (set(), {"head.0.weight"}, set())),
        # One backbone inside another: each is whole or not there.
        (INNER, set(), (set(), set(), set())),
        ({"backbone.inner.stem.weight"}, set(), ({"backbone.inner.stem.bias"}, set(), set())),
        ({"backbone.stem.weight"}, set(), ({"backbone.stem.bias"}, set(), set())),
        (INNER, {"stem.2.weight"}, (set(), {"stem.2.weight"}, set())),
        # Of another shape, under a shorter name than the model's.
        ({"head.bias"}, {"head.weight"}, (set(), set(), {"head.weight"})),
        ({"scale"}, {"inner.stem.weight"}, ({"backbone.inner.stem.bias"}, set(), {"backbone.inner.stem.weight"})),
        # Nothing in common: all of it.
        (set(), {"kernel"}, (NAMES, {"kernel"}, set())),
    ],
)
def test_differences_by_hand(
    in_file: set[str], left_over: set[str], wrong: tuple[set[str], set[str], set[str]]
) -> None:
    model = Model()
    assert set(model.state_dict()) == NAMES
    assert differences(model, NAMES - in_file, left_over) == wrong


def test_a_context_path_is_a_part() -> None:
    """BiSeNet's backbone has one of ImageNet's inside."""
    bisenet = ["RECIPE.SEMANTIC_NETWORK", "networks/bisenet.yaml", "MODEL.BISENET.SPATIAL_CHANNELS", "[4, 6, 8]"]
    model = build_model(small("semantic_source.yaml", *bisenet))
    names = set(model.state_dict())
    context = {name for name in names if name.startswith("backbone.context.")}
    assert differences(model, names - context, set()) == (set(), set(), set())
    some = {name for name in context if "res5" not in name}
    found = differences(model, names - some, {"res6.weight", "res5.7.weight"})
    assert found.missing == {name for name in context - some if name.endswith((".weight", ".bias"))}
    assert found.left_over == {"res5.7.weight"}
