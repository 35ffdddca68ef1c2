"""From the folder of a run to panoptic results: what it loads, and that they are those of the evaluation."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ptseg_d2.data.mappers import to_tensor
from ptseg_d2.errors import DataError, RecipeError
from ptseg_d2.inference.panoptic_model import PanopticModel
from ptseg_d2.prediction.images import PanopticPrediction
from ptseg_d2.prediction.predictor import PanopticPredictor
from ptseg_d2.recipe.finished_run import COMMAND, note_command

import numpy as np
import pytest
import torch
from odd_files import noise, truncate, write_png, write_video
from tiny import CONFIGS
from untrained import OVERRIDES, untrained_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained_run(tmp_path_factory.mktemp("untrained") / "run")


@pytest.fixture(scope="module")
def predictor(run: Path) -> PanopticPredictor:
    return PanopticPredictor(run, device="cpu")


def same(a: PanopticPrediction, b: PanopticPrediction) -> bool:
    return bool((a.panoptic == b.panoptic).all() and (a.sem_seg == b.sem_seg).all()) and (
        a.segments_info == b.segments_info
    )


def test_the_result_is_that_of_the_evaluation(predictor: PanopticPredictor) -> None:
    image = noise(64, 128, 3)
    prediction = predictor.predict(image)
    item = {"image": to_tensor(image), "height": 64, "width": 128}
    output = predictor.model([item])[0]
    assert any(segment["isthing"] for segment in prediction.segments_info)  # otherwise it says little
    assert np.array_equal(prediction.panoptic, output["panoptic_seg"][0].numpy())
    assert prediction.segments_info == output["panoptic_seg"][1]
    assert np.array_equal(prediction.sem_seg, output["sem_seg"].argmax(0).numpy())
    assert prediction.panoptic.dtype == np.int32 and prediction.sem_seg.dtype == np.uint8
    assert prediction.image is image and prediction.file_name == "" and (image == noise(64, 128, 3)).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (90, 1), (300, 5000), (5000, 300)])
def test_odd_sizes(predictor: PanopticPredictor, size: tuple[int, int]) -> None:
    prediction = predictor.predict(noise(*size, 3))
    assert prediction.panoptic.shape == prediction.sem_seg.shape == size
    assert sum(segment["area"] for segment in prediction.segments_info) == (prediction.panoptic > 0).sum()


def test_one_tile_is_no_tile_and_many_cover_the_image(run: Path, predictor: PanopticPredictor) -> None:
    image = noise(64, 128, 3)
    assert same(PanopticPredictor(run, device="cpu", max_pixels=64 * 128).predict(image), predictor.predict(image))
    tiled = PanopticPredictor(run, device="cpu", max_pixels=48 * 48).predict(image)
    assert tiled.panoptic.shape == (64, 128)
    assert (tiled.sem_seg == predictor.predict(image).sem_seg).mean() > 0.8


def test_the_command_line_of_the_training_is_found_again(run: Path, predictor: PanopticPredictor) -> None:
    """Networks this narrow and shallow come from overrides only, which command.json keeps."""
    assert predictor.cfg.MODEL.RESNETS.DEPTH == 10 and predictor.cfg.OUTPUT_DIR == str(run)
    assert isinstance(predictor.model, PanopticModel) and predictor.model.options.min_thing_share == 0.0005
    changed = PanopticPredictor(run, device="cpu", opts=["INSTANCE.MIN_AREA", "0.5"])
    assert isinstance(changed.model, PanopticModel) and changed.model.options.min_thing_share == 0.5


def test_a_run_may_be_moved_and_its_config_given(run: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(run, tmp_path / "moved")
    (moved / COMMAND).unlink()
    config = CONFIGS / "instance_source.yaml"
    found = PanopticPredictor(moved, config, device="cpu", opts=OVERRIDES).predict(noise(64, 128, 3))
    assert same(found, PanopticPredictor(run, device="cpu").predict(noise(64, 128, 3)))


def test_row_and_min_score(run: Path, predictor: PanopticPredictor) -> None:
    assert predictor.row == "source" == PanopticPredictor(run, row="source", device="cpu").row
    with pytest.raises(RecipeError, match="has no panoptic row 'selftrain'; it has: source"):
        PanopticPredictor(run, row="selftrain", device="cpu")
    sure = PanopticPredictor(run, device="cpu", min_score=1.0).predict(noise(64, 128, 3))
    assert not any(segment["isthing"] for segment in sure.segments_info)


def test_missing_pieces_say_what_to_do(run: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="run folder nowhere not found: give the OUTPUT_DIR"):
        PanopticPredictor("nowhere")
    with pytest.raises(FileNotFoundError, match=r"command\.json not found: .*--config-file"):
        PanopticPredictor(tmp_path)
    note_command(tmp_path, "gone/recipe.yaml", [])
    with pytest.raises(FileNotFoundError, match=r"gone.recipe\.yaml, which .* names, not found .*--config-file"):
        PanopticPredictor(tmp_path)
    moved = shutil.copytree(run, tmp_path / "half")
    (moved / "instance_source" / "done.json").unlink()
    with pytest.raises(RecipeError, match="instance_source is not finished"):
        PanopticPredictor(moved, device="cpu")


def test_one_branch_is_no_panoptic_run(run: Path) -> None:
    with pytest.raises(RecipeError, match="one branch only"):
        PanopticPredictor(run, CONFIGS / "semantic_source.yaml", device="cpu", opts=OVERRIDES)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"half": True}, "half precision needs a GPU"),
        ({"batch_size": 0}, "batch_size 0"),
        ({"max_pixels": 0}, "max_pixels 0"),
    ],
)
def test_impossible_options(run: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PanopticPredictor(run, device="cpu", **options)


def test_one_broken_file_among_good_ones(predictor: PanopticPredictor, tmp_path: Path) -> None:
    for name in ("a", "b", "d"):
        write_png(tmp_path / f"{name}.png")
    truncate(tmp_path / "b.png")
    (tmp_path / "c.png").write_text("text")
    predictor.batch_size = 3
    try:
        results = list(predictor.predict_files([tmp_path]))
    finally:
        predictor.batch_size = 1
    assert [Path(name).name for name, _ in results] == ["a.png", "b.png", "c.png", "d.png"]
    good, cut, text, last = (result for _, result in results)
    assert isinstance(good, PanopticPrediction) and isinstance(last, PanopticPrediction)
    assert good.file_name == str(tmp_path / "a.png") and same(good, predictor.predict(noise(32, 64, 3)))
    assert isinstance(cut, DataError) and "truncated" in str(cut)
    assert isinstance(text, DataError) and "not an image" in str(text)


def test_a_pattern_that_matches_nothing_is_an_error_at_once(predictor: PanopticPredictor, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        predictor.predict_files([tmp_path / "*.png"])


def test_too_little_memory_is_an_error_of_that_file(
    predictor: PanopticPredictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_png(tmp_path / "a.png", 32, 64)
    write_png(tmp_path / "b.png", 8, 8)
    predict_batch: Callable[..., list[PanopticPrediction]] = predictor.predict_batch

    def small_only(images: list[np.ndarray]) -> list[PanopticPrediction]:
        if any(image.size > 1000 for image in images):
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.")
        return predict_batch(images)

    monkeypatch.setattr(predictor, "predict_batch", small_only)
    monkeypatch.setattr(predictor, "batch_size", 2)  # the small image is in the batch of the large one
    (_, first), (_, second) = predictor.predict_files([tmp_path])
    assert "a.png: not enough memory for 64x32 pixels" in str(first) and isinstance(second, PanopticPrediction)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_video(predictor: PanopticPredictor, tmp_path: Path, batch_size: int) -> None:
    predictor.batch_size = batch_size
    try:
        frames = list(predictor.predict_video(write_video(tmp_path / "clip.mp4", 5)))
        assert len(frames) == 5 and frames[0].image.shape == (32, 64, 3)
        found = []
        path = truncate(write_video(tmp_path / "cut.avi", 20, codec="MJPG"), 0.6)
        with pytest.raises(DataError, match="ends early"):
            for prediction in predictor.predict_video(path):
                found.append(prediction)
        assert len(found) > 1  # every frame that could be decoded
    finally:
        predictor.batch_size = 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_half_precision_on_a_gpu(run: Path, predictor: PanopticPredictor) -> None:
    image = noise(64, 128, 3)
    half = PanopticPredictor(run, device="cuda", half=True).predict(image)
    assert (half.sem_seg == predictor.predict(image).sem_seg).mean() > 0.95
