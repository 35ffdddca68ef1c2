"""Bad input gives one clear message that names the file, and loses nothing."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

from ptseg_d2.errors import DataError, RecipeError
from ptseg_d2.recipe import stage_work as stages
from ptseg_d2.recipe.configs import load_recipe
from ptseg_d2.stages import StageRun

import cv2
import numpy as np
import pytest
import train_net
from tiny import CONFIGS, TINY


def source_run(output: Path, config: str = "semantic_source.yaml", *overrides: str) -> StageRun:
    """A stage that trains on two source images per step, so that three steps see all six."""
    return load_recipe(CONFIGS / config, [*TINY, "OUTPUT_DIR", str(output), *overrides])[-1]


def first(world: Path, pattern: str) -> Path:
    return sorted(world.glob(pattern))[0]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def unknown_class(path: Path) -> None:
    labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    labels[..., -1] = 77  # the class channel of SYNTHIA's files, in OpenCV's order
    assert cv2.imwrite(str(path), labels)


def other_size(path: Path) -> None:
    labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert cv2.imwrite(str(path), labels[:-8])


@pytest.mark.parametrize(
    ("pattern", "damage", "message"),
    [
        ("synthia/**/RGB/*.png", truncate, "truncated"),
        ("synthia/**/LABELS/*.png", truncate, "truncated"),
        ("synthia/**/LABELS/*.png", unknown_class, "unknown class id 77"),
        ("synthia/**/LABELS/*.png", other_size, "128x56"),
    ],
)
def test_one_bad_training_image_is_named_and_training_goes_on(
    pattern: str, damage: object, message: str, world: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad = first(world, pattern)
    assert callable(damage)
    damage(bad)
    with caplog.at_level(logging.WARNING, logger="ptseg_d2"):
        stages.train(source_run(tmp_path / "out"), resume=False)
    warnings = [r.getMessage() for r in caplog.records if r.name == "ptseg_d2.data.loader"]
    assert len(warnings) == 1 and message in warnings[0] and bad.name in warnings[0]
    assert (tmp_path / "out" / "semantic_source" / "model_final.pth").exists()


def test_bad_test_image_is_an_error_and_keeps_the_checkpoints(world: Path, tmp_path: Path) -> None:
    bad = first(world, "cityscapes/leftImg8bit/val/*/*.png")
    truncate(bad)
    arguments = ["--config-file", str(CONFIGS / "semantic_source.yaml"), *TINY, "OUTPUT_DIR", str(tmp_path / "out")]
    with pytest.raises(DataError, match=bad.name):
        train_net.main(train_net.build_parser().parse_args(arguments))
    assert (tmp_path / "out" / "semantic_source" / "done.json").exists()


@pytest.mark.parametrize("config", ["instance_source.yaml", "selftrain_icm.yaml"])
def test_images_without_any_thing_train(config: str, world: Path, tmp_path: Path) -> None:
    for path in world.glob("synthia/**/LABELS/*.png"):
        labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert cv2.imwrite(str(path), np.zeros_like(labels) + np.array([0, 0, 3], labels.dtype))  # all road
    overrides = ["RECIPE.INIT_FROM", "", "RECIPE.MASKS_FROM", "", "SOLVER.TARGET_PER_BATCH", "0"]
    run = source_run(tmp_path / "out", config, *overrides)
    stages.train(run, resume=False)
    assert (run.folder / "model_final.pth").exists()


def test_empty_data_set(world: Path, tmp_path: Path) -> None:
    for path in world.glob("synthia/**/RGB/*.png"):
        path.unlink()
    with pytest.raises((FileNotFoundError, ValueError), match="RGB"):
        stages.train(source_run(tmp_path / "out"), resume=False)


def test_missing_data_names_path_variable_and_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "nowhere"))
    run = source_run(tmp_path / "out", "semantic_source.yaml", "DATASETS.SOURCE", "('synthia_labeled_train',)")
    with pytest.raises(FileNotFoundError) as error:
        stages.train(run, resume=False)
    for part in (str(tmp_path / "nowhere"), "DETECTRON2_DATASETS", "datasets/README.md"):
        assert part in str(error.value)


def test_unknown_data_set_lists_the_known_ones(world: Path, tmp_path: Path) -> None:
    run = source_run(tmp_path / "out", "semantic_source.yaml", "DATASETS.SOURCE", "('synthia',)")
    with pytest.raises(ValueError, match="'synthia' is not registered; expected one of: .*synthia_labeled_train"):
        stages.train(run, resume=False)


def test_missing_weights_are_named(world: Path, tmp_path: Path) -> None:
    run = source_run(tmp_path / "out", "semantic_source.yaml", "MODEL.WEIGHTS", "gone.pth")
    with pytest.raises(FileNotFoundError, match=r"weights gone\.pth not found"):
        stages.train(run, resume=False)


def test_unknown_meta_architecture_lists_the_known_ones(tmp_path: Path) -> None:
    arguments = ["--config-file", str(CONFIGS / "semantic_source.yaml"), "MODEL.META_ARCHITECTURE", "Segmentor"]
    arguments += ["OUTPUT_DIR", str(tmp_path)]
    with pytest.raises(ValueError, match="'Segmentor' is not registered; expected one of: .*SemanticNetwork"):
        train_net.main(train_net.build_parser().parse_args(arguments))


def test_target_labels_are_never_needed(world: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without the labels of the target's training images nothing fails, and no image has to be skipped."""
    shutil.rmtree(world / "cityscapes" / "gtFine" / "train")
    overrides = ["RECIPE.INIT_FROM", "", "RECIPE.MASKS_FROM", ""]
    run = source_run(tmp_path / "out", "semantic_selftrain.yaml", *overrides)
    with caplog.at_level(logging.WARNING):
        stages.train(run, resume=False)
    assert [r.getMessage() for r in caplog.records if r.name == "ptseg_d2.data.loader"] == []
    assert (run.folder / "model_final.pth").exists()


def test_one_bad_target_image_is_named_and_the_recipe_goes_on(
    world: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """From the predicted masks, which leave it out, to the self-training on them."""
    bad = first(world, "cityscapes/leftImg8bit/train/*/*.png")
    truncate(bad)
    with caplog.at_level(logging.WARNING):
        for run in load_recipe(CONFIGS / "semantic_selftrain.yaml", [*TINY, "OUTPUT_DIR", str(tmp_path / "out")]):
            stages.run_stage(run, resume=False)
    warnings = [
        r.getMessage()
        for r in caplog.records
        if r.name in ("ptseg_d2.data.loader", "ptseg_d2.recipe.target_files.masks")
    ]
    assert warnings and all(bad.name in warning and "truncated" in warning for warning in warnings)
    index = json.loads((tmp_path / "out" / "semantic_adapted" / "target_masks" / "index.json").read_text())
    assert len(index["images"]) == 5 and len(index["skipped"]) == 1
    assert (tmp_path / "out" / "semantic_selftrain" / "done.json").exists()


def test_style_override_never_shows_the_target_to_the_source_stage(world: Path, tmp_path: Path) -> None:
    shutil.rmtree(world / "cityscapes" / "leftImg8bit" / "train")
    run = source_run(tmp_path / "out", "semantic_source.yaml", "INPUT.SOURCE_STYLE", "statistics")
    stages.train(run, resume=False)
    assert (run.folder / "model_final.pth").exists()


def test_resume_with_other_settings_is_refused(world: Path, tmp_path: Path) -> None:
    stages.train(source_run(tmp_path / "out"), resume=False)
    with pytest.raises(RecipeError, match="SOLVER.MAX_ITER was 3, is 5"):
        stages.train(source_run(tmp_path / "out", "semantic_source.yaml", "SOLVER.MAX_ITER", "5"), resume=True)


def test_warm_up_as_long_as_the_training_is_refused(world: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="WARMUP_ITERS = 3 must be below SOLVER.MAX_ITER = 3"):
        stages.train(source_run(tmp_path / "out", "semantic_source.yaml", "SOLVER.WARMUP_ITERS", "3"), False)
