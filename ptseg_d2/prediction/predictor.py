"""Panoptic results of any image, file or video from the folder of a finished run.

    predictor = PanopticPredictor("output/miniscapes")
    prediction = predictor.predict(image)

Shapes: H x W pixels; images are (H, W, 3) uint8 RGB.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from ptseg_d2.data.image_files import read_image
from ptseg_d2.errors import DataError
from ptseg_d2.prediction.images import MAX_PIXELS, PanopticPrediction, Picture, predict_images
from ptseg_d2.prediction.inputs import Video, expand_inputs
from ptseg_d2.recipe.finished_run import load_run
from ptseg_d2.results.rows import ResultRows

import torch
from detectron2.data import MetadataCatalog


class PanopticPredictor:
    """Predicts with the networks of a finished run.

    `model` is what the run was evaluated with, `row` its row in results.json, `metadata` the names and colours of
    its classes, `cfg` its config.
    """

    def __init__(
        self,
        run_folder: str | os.PathLike[str],
        config_file: str | os.PathLike[str] | None = None,
        row: str | None = None,
        device: str | None = None,
        half: bool = False,
        batch_size: int = 1,
        max_pixels: int = MAX_PIXELS,
        opts: Sequence[str] = (),
        min_score: float | None = None,
    ) -> None:
        """
        Args:
            run_folder: OUTPUT_DIR of the run.
            config_file: of the run; None = that of its command.json.
            row: of the section "panoptic" of results.json; None = the last one.
            device: "cpu" or "cuda"; None = a GPU if there is one.
            half: bfloat16 on a GPU, whatever MODEL.BFLOAT16 of the run says.
            batch_size: images of one size that the semantic network sees at once.
            max_pixels: larger images are cut into tiles of at most that many pixels.
            opts: alternating keys and values of the config, over those of the run.
            min_score: instances of a lower score become void, in [0, 1]; None = as the run was evaluated.

        Raises:
            FileNotFoundError: the run or its config file is not there.
            RecipeError: the run is not finished, or has no such row.
            ValueError: half precision without a GPU that has it, or a number out of its range.
        """
        if batch_size < 1 or max_pixels < 1:
            raise ValueError(f"batch_size {batch_size} and max_pixels {max_pixels}: expected 1 or more")
        if min_score is not None and not 0 <= min_score <= 1:
            raise ValueError(f"min_score {min_score}: expected a number in [0, 1]")
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        overrides = [*opts, "MODEL.DEVICE", device]
        if half:
            _require_half(device)
            overrides += ["MODEL.BFLOAT16", "True"]
        self.cfg, runs = load_run(run_folder, config_file, overrides)
        rows = ResultRows(self.cfg, runs)
        chosen = rows.panoptic_row(row, os.fspath(run_folder))
        self.row = chosen.name
        self.model = rows.panoptic(chosen)
        if min_score is not None:
            self.model.min_score = min_score
        self.metadata = MetadataCatalog.get(
            (*self.cfg.DATASETS.TEST, *self.cfg.DATASETS.SOURCE, *self.cfg.DATASETS.TARGET)[0]
        )
        self.batch_size = batch_size
        self.max_pixels = max_pixels

    def predict(self, image: Picture) -> PanopticPrediction:
        """One image; the same result as the evaluation's when it needs no tiles.

        Raises:
            ValueError: not a (H, W, 3) uint8 array of at least one pixel.
        """
        return self.predict_batch([image])[0]

    def predict_batch(self, images: Sequence[Picture]) -> list[PanopticPrediction]:
        """Images of any sizes; those of one size go through the semantic network together, `batch_size` at once."""
        return predict_images(self.model, images, self.max_pixels, self.batch_size)

    def predict_files(
        self, patterns: Sequence[str | os.PathLike[str]]
    ) -> Iterator[tuple[str, PanopticPrediction | Exception]]:
        """Files, folders and patterns, see `expand_inputs`, in order.

        Returns:
            name and prediction, or what is wrong with that file, which names it; the others are not affected.

        Raises:
            FileNotFoundError: a pattern matches nothing (at once).
        """
        return self._predict_files(expand_inputs(patterns))

    def _predict_files(self, files: Sequence[str]) -> Iterator[tuple[str, PanopticPrediction | Exception]]:
        for start in range(0, len(files), self.batch_size):
            names = files[start : start + self.batch_size]
            results: dict[str, Any] = {name: _read(name) for name in names}
            good = [name for name in names if not isinstance(results[name], Exception)]
            try:
                predictions: list[Any] = list(self.predict_batch([results[name] for name in good]))
            except (MemoryError, RuntimeError) as error:
                if not _is_out_of_memory(error):
                    raise
                predictions = [self._predict_alone(name, results[name]) for name in good]
            for name, prediction in zip(good, predictions):
                is_error = isinstance(prediction, Exception)
                results[name] = prediction if is_error else dataclasses.replace(prediction, file_name=name)
            yield from results.items()

    def _predict_alone(self, name: str, image: Picture) -> PanopticPrediction | DataError:
        """One image of a batch for which the memory was not enough."""
        try:
            return self.predict(image)
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            size = "{}x{}".format(*image.shape[1::-1])
            return DataError(f"{name}: not enough memory for {size} pixels; lower max_pixels")

    def predict_video(self, source: str | os.PathLike[str] | int) -> Iterator[PanopticPrediction]:
        """Frames of a video file or of a camera (its number).

        Raises:
            FileNotFoundError, DataError: see `Video`; after the frames that can be decoded.
        """
        with Video(source) as video:
            yield from self.predict_frames(video)

    def predict_frames(self, frames: Iterable[Picture]) -> Iterator[PanopticPrediction]:
        """Images one after another; an error of their source comes after the predictions of all before it."""
        source, failure = iter(frames), None
        while failure is None:
            batch = []
            try:
                for frame in islice(source, self.batch_size):
                    batch.append(frame)
            except DataError as error:
                failure = error
            if not batch:
                break
            yield from self.predict_batch(batch)
        if failure is not None:
            raise failure


def _is_out_of_memory(error: Exception) -> bool:
    """Also of a CPU, where torch raises a plain RuntimeError."""
    return isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)) or "can't allocate memory" in str(error)


def _require_half(device: str) -> None:
    if not device.startswith("cuda"):
        raise ValueError(f"half precision needs a GPU, and the device is {device!r}; leave it off")
    if not torch.cuda.is_bf16_supported():
        raise ValueError("half precision needs a GPU that computes in bfloat16; leave it off")


def _read(name: str) -> Picture | Exception:
    try:
        return read_image(name)
    except (DataError, OSError) as error:
        return error
