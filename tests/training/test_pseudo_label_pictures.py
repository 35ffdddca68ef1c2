"""Pictures of pseudo labels during self-training: where they go, what they show, and that they change nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ptseg_d2.classes.streets import COLORS
from ptseg_d2.data.dataset_dicts import load_dataset
from ptseg_d2.modeling.building import build_stage_model
from ptseg_d2.modeling.teachers.momentum_teacher import MomentumTeacher
from ptseg_d2.modeling.teachers.semantic_teacher import SemanticMomentumTeacher
from ptseg_d2.recipe import stage_work as stages
from ptseg_d2.recipe.configs import load_recipe
from ptseg_d2.stages import StageRun
from ptseg_d2.training import pseudo_label_pictures as pictures
from ptseg_d2.training.probing import target_images
from ptseg_d2.visualization.panels import split_pair

import cv2
import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny import CONFIGS, TINY

TWIN = "miniscapes_cityscapes_labeled_train"
CONFIG_OF = {"semantic": "semantic_selftrain.yaml", "instance": "selftrain_icm.yaml"}


def run_of(branch: str, masks: Path, output: Path, *overrides: str) -> StageRun:
    alone = ["RECIPE.INIT_FROM", "", "RECIPE.MASKS_FROM", "", "INPUT.PREDICTED_MASKS", str(masks)]
    run = load_recipe(CONFIGS / CONFIG_OF[branch], [*TINY, *alone, "SOLVER.MAX_ITER", "4", *overrides])[-1]
    return run.with_keys({"OUTPUT_DIR": str(output)})


def semantic_model(run: StageRun) -> SemanticMomentumTeacher:
    model = build_stage_model(run.cfg, run.inputs)
    assert isinstance(model, SemanticMomentumTeacher)
    return model


def weights(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(folder / "model_final.pth", weights_only=False)["model"]
    return found


@pytest.mark.parametrize("branch", ["semantic", "instance"])
def test_files_tensorboard_and_the_same_weights(branch: str, masks: Path, tmp_path: Path) -> None:
    on = run_of(branch, masks, tmp_path / "with", "EVAL.PSEUDO_LABEL_PICTURES", "2", "VIS_PERIOD", "3")
    off = run_of(branch, masks, tmp_path / "without", "EVAL.PSEUDO_LABEL_PICTURES", "0")
    for run in (on, off):
        stages.train(run, resume=False)
    watched, plain = weights(tmp_path / "with"), weights(tmp_path / "without")
    assert watched.keys() == plain.keys()
    assert all(torch.equal(torch.as_tensor(plain[name]), torch.as_tensor(watched[name])) for name in plain)
    assert not (tmp_path / "without" / "pseudo_labels").exists()

    files = sorted(path.name for path in (tmp_path / "with" / "pseudo_labels").iterdir())
    image_ids = sorted({name[8:-4] for name in files})
    assert len(image_ids) == 2
    assert files == [f"{shot:07d}_{image_id}.png" for shot in (0, 2, 4) for image_id in image_ids]

    events = EventAccumulator(str(tmp_path / "with")).Reload()
    tags = events.Tags()
    assert sorted(tags["images"]) == [f"pseudo_labels/{image_id}" for image_id in image_ids]
    steps = [event.step for event in events.Images(tags["images"][0])]
    assert steps == [0, 1, 2, 3]  # before the first, and after 2, 3 (VIS_PERIOD) and 4 steps
    lines = [json.loads(line) for line in (tmp_path / "with" / "metrics.json").read_text().splitlines()]
    scalars = {name for line in lines for name in line if name.startswith(("loss_", "pseudo/", "total_loss"))}
    assert scalars <= set(tags["scalars"]) and {"total_loss", "lr"} <= set(tags["scalars"])
    kinds = {"semantic": {"coverage", "confidence"}, "instance": {"instances", "stability", "unstable"}}
    assert {f"pseudo/{kind}" for kind in kinds[branch]} <= scalars


def test_a_resumed_run_leaves_earlier_pictures_alone(masks: Path, tmp_path: Path) -> None:
    run = run_of("semantic", masks, tmp_path / "run", "EVAL.PSEUDO_LABEL_PICTURES", "1")
    whole = run_of("semantic", masks, tmp_path / "whole", "EVAL.PSEUDO_LABEL_PICTURES", "1")
    stages.train(whole, resume=False)
    stages.train(run, resume=False)
    folder = tmp_path / "run" / "pseudo_labels"
    first, middle, last = sorted(folder.iterdir())
    for path in (tmp_path / "run").glob("model_*.pth"):
        if path.name != "model_0000001.pth":
            path.unlink()
    (tmp_path / "run" / "last_checkpoint").write_text("model_0000001.pth")
    for path in (first, middle):
        path.write_bytes(b"kept")
    last.unlink()
    stages.train(run, resume=True)
    assert sorted(folder.iterdir()) == [first, middle, last]
    assert first.read_bytes() == middle.read_bytes() == b"kept"
    assert last.read_bytes() == (tmp_path / "whole" / "pseudo_labels" / last.name).read_bytes()


def test_a_new_run_removes_the_pictures_of_another(masks: Path, tmp_path: Path) -> None:
    old = tmp_path / "run" / "pseudo_labels" / "0000009_gone.png"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"old")
    stages.train(run_of("semantic", masks, tmp_path / "run", "EVAL.PSEUDO_LABEL_PICTURES", "1"), resume=False)
    assert not old.exists()


def test_semantic_labels_are_those_of_a_step_on_the_whole_image(masks: Path, tmp_path: Path) -> None:
    """Fixed masks as labels: the picture is the image beside the mask in its colours; void is striped grey."""
    run = run_of("semantic", masks, tmp_path, "MODEL.SELF_TRAINING.PSEUDO_LABELS", "predicted")
    model = semantic_model(run).eval()
    images, noise = target_images(run.cfg, run.inputs)
    prior = model.labeler.class_prior.clone()
    left, right = split_pair(pictures.draw_pseudo_labels(model, images[0], noise, COLORS))
    assert torch.equal(model.labeler.class_prior, prior)
    image = cv2.imread(images[0]["file_name"])[..., ::-1]
    mask = cv2.imread(images[0]["class_mask_file_name"], cv2.IMREAD_UNCHANGED)
    assert np.array_equal(left, image)
    for class_id in set(np.unique(mask).tolist()) - {255}:
        expected = 0.35 * image[mask == class_id] + 0.65 * np.array(COLORS[class_id])
        assert np.abs(right[mask == class_id] - expected).max() <= 0.51


def test_groups_look_at_images_that_show_their_classes(masks: Path, tmp_path: Path) -> None:
    shares = json.loads(masks.read_text())["images"]
    cars = {image_id for image_id, entry in shares.items() if entry["class_shares"][13] >= 2e-3}
    run = run_of("instance", masks, tmp_path, "EVAL.PSEUDO_LABEL_PICTURES", "9").of_group(["car"])
    model = build_stage_model(run.cfg, run.inputs)
    assert isinstance(model, MomentumTeacher)
    hook = pictures.PseudoLabelPictures(run.cfg, run.inputs, model)
    assert {item["image_id"] for item in hook.images} == cars
    only_none = [{"class_shares": [0.0] * 19}]
    assert model.worth_showing(only_none) == only_none


def test_nothing_is_drawn_where_nothing_is_labelled(masks: Path, tmp_path: Path) -> None:
    nothing = ["MODEL.SELF_TRAINING.PSEUDO_LABELS", "none", "INPUT.MASK_RATIO", "0.0"]
    run = run_of("semantic", masks, tmp_path, *nothing, "MODEL.SELF_TRAINING.CLASS_MIX", "False")
    assert not semantic_model(run).makes_labels


def test_a_bad_image_has_no_picture_and_ends_nothing(
    masks: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = run_of("semantic", masks, tmp_path / "run", "EVAL.PSEUDO_LABEL_PICTURES", "2")
    first, last = target_images(run.cfg, run.inputs)[0][:: len(load_dataset((TWIN,), "test")) - 1]
    Path(first["file_name"]).write_bytes(b"no image")
    stages.train(run, resume=False)
    names = {path.name[8:-4] for path in (tmp_path / "run" / "pseudo_labels").iterdir()}
    assert names == {last["image_id"]}
    assert "No picture of a pseudo label" in caplog.text and first["file_name"] in caplog.text
