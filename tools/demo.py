#!/usr/bin/env python
r"""Panoptic results of a finished run, drawn over pictures or a video.

    python tools/demo.py --run-folder output/miniscapes --input images/ 'more/*.png' --output overlays
    python tools/demo.py --config-file configs/selftrain_icm.yaml --video-input drive.mp4 --output drive_drawn.mp4 \
        --opts OUTPUT_DIR output/miniscapes

The flags are those of Detectron2's demo; `--opts` are the overrides of the training run, OUTPUT_DIR names its folder.
A file that cannot be read is named at the end, with exit status 1, and hinders no other.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from ptseg_d2.atomic import replaced_file
from ptseg_d2.data.datasets import classes_of
from ptseg_d2.errors import DataError, RecipeError
from ptseg_d2.evaluation.coco_panoptic import CocoPanopticWriter
from ptseg_d2.prediction.images import MAX_PIXELS, PanopticPrediction, Picture
from ptseg_d2.prediction.inputs import Video, expand_inputs, unique_names
from ptseg_d2.prediction.predictor import PanopticPredictor
from ptseg_d2.recipe.configs import load_config
from ptseg_d2.visualization.overlays import READABLE_WIDTH, draw_panoptic

import cv2
import torch
from detectron2.utils.video_visualizer import VideoVisualizer
from PIL import Image
from tqdm import tqdm

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
VIDEO_SUFFIXES = (".mp4", ".avi", ".mkv", ".mov")
LONGEST_ENLARGED = 4096  # pixels; small pictures are enlarged for their labels, long thin ones not beyond this


def build_parser() -> argparse.ArgumentParser:
    """Detectron2's demo flags and ours."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--run-folder", metavar="DIR", help="of the finished run; default: OUTPUT_DIR of the config")
    parser.add_argument("--config-file", metavar="FILE", help="default: the one that the run's results.json names")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--input", nargs="+", help="images, folders, or patterns like 'folder/*.png'")
    source.add_argument("--video-input", metavar="FILE", help="video")
    source.add_argument("--webcam", action="store_true", help="first camera, until Ctrl-C")
    parser.add_argument("--output", help="folder; or file, for one image or a video")
    parser.add_argument("--save-predictions", metavar="DIR", help="gets pred.json and pred/*.png, COCO panoptic format")
    parser.add_argument("--confidence-threshold", type=float, metavar="P", help="lowest score of an instance, 0 to 1")
    parser.add_argument("--row", help="of the section panoptic of results.json; default: the last one")
    parser.add_argument("--device", help="cpu or cuda; default: a GPU if there is one")
    parser.add_argument("--half", action="store_true", help="bfloat16 on a GPU")
    parser.add_argument("--batch-size", type=int, default=1, metavar="N", help="images of one size at once")
    parser.add_argument("--max-pixels", type=int, default=MAX_PIXELS, help="larger images are cut into tiles")
    parser.add_argument("--opts", nargs=argparse.REMAINDER, default=[], help="overrides: KEY VALUE ...")
    return parser


def build_predictor(args: argparse.Namespace) -> PanopticPredictor:
    """The networks of the run that the arguments name."""
    if not args.run_folder and not args.config_file:
        raise ValueError("give --run-folder, or --config-file and --opts OUTPUT_DIR, to say which run is to predict")
    return PanopticPredictor(
        args.run_folder or load_config(args.config_file, args.opts).OUTPUT_DIR,
        args.config_file,
        row=args.row,
        device=args.device,
        half=args.half,
        batch_size=args.batch_size,
        max_pixels=args.max_pixels,
        opts=args.opts,
        min_score=args.confidence_threshold,
    )


def check(args: argparse.Namespace) -> None:
    """Raise a ValueError for arguments that go nowhere."""
    if not args.output and not args.save_predictions:
        raise ValueError("give --output: there is no window to show results in (OpenCV is the headless one)")
    threshold = args.confidence_threshold
    if threshold is not None and not 0 <= threshold <= 1:
        raise ValueError(f"--confidence-threshold {threshold}: expected a score from 0 to 1")


def picture_files(output: str, files: list[str]) -> list[Path]:
    """Where the drawn pictures go.

    Raises:
        ValueError: one output file for several inputs.
    """
    if Path(output).suffix.lower() in PICTURE_SUFFIXES and not os.path.isdir(output):
        if len(files) > 1:
            raise ValueError(f"--output {output} is one file for {len(files)} inputs; give a folder")
        return [Path(output)]
    return [Path(output) / f"{name}.png" for name in unique_names(files)]


def save_picture(path: Path, picture: Picture) -> None:
    """Write a picture, the whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced_file(path) as partial:
        Image.fromarray(picture).save(partial)


class VideoFile:
    """A video that is written frame by frame; complete as far as it goes whenever it is closed."""

    def __init__(self, path: Path, fps: float) -> None:
        """
        Args:
            path: its folder is made if missing, the file with the first frame.
            fps: frames per second.
        """
        self.path = path
        self.fps = fps
        self._writer: cv2.VideoWriter | None = None

    def write(self, frame: Picture) -> None:
        """
        Raises:
            OSError: OpenCV cannot write such a file.
        """
        if self._writer is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            size = (frame.shape[1], frame.shape[0])
            self._writer = cv2.VideoWriter(str(self.path), cv2.VideoWriter.fourcc(*"mp4v"), self.fps, size)
            if not self._writer.isOpened():
                raise OSError(
                    f"{self.path}: OpenCV cannot write {size[0]}x{size[1]} frames with the codec mp4v into such a "
                    "file; choose a name that ends in .mp4, or draw the frames as pictures (--input)"
                )
        self._writer.write(frame[..., ::-1].copy())

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.release()


def draw(prediction: PanopticPrediction, predictor: PanopticPredictor) -> Picture:
    """Overlay, enlarged where labels would cover it."""
    height, width = prediction.panoptic.shape
    scale = max(1, min(-(-READABLE_WIDTH // width), LONGEST_ENLARGED // max(height, width)))
    ids = torch.from_numpy(prediction.panoptic)
    return draw_panoptic(prediction.image, ids, prediction.segments_info, predictor.metadata, scale)


def predict_pictures(
    args: argparse.Namespace,
    predictor: PanopticPredictor,
    files: list[str],
    export: CocoPanopticWriter | None,
    failures: list[str],
) -> None:
    """Predict, draw and save; what is wrong with a file is appended to `failures`."""
    names = dict(zip(files, unique_names(files)))
    outputs = dict(zip(files, picture_files(args.output, files))) if args.output else {}
    for file, prediction in tqdm(predictor.predict_files(files), total=len(files), unit="image"):
        if isinstance(prediction, Exception):
            failures.append(str(prediction))
            continue
        if export is not None:
            export.add(names[file], file, prediction.panoptic, prediction.segments_info)
        if outputs:
            try:
                save_picture(outputs[file], draw(prediction, predictor))
            except ValueError as error:  # of the drawing library, for a picture that is too long
                failures.append(f"{file}: cannot be drawn ({error})")


def predict_video(
    args: argparse.Namespace, predictor: PanopticPredictor, export: CocoPanopticWriter | None, failures: list[str]
) -> None:
    """Predict and draw a video; objects keep their colours from frame to frame."""
    source = 0 if args.webcam else args.video_input
    name = "webcam" if args.webcam else Path(args.video_input).stem
    output = Path(args.output) if args.output else None
    if output is not None and (output.is_dir() or output.suffix.lower() not in VIDEO_SUFFIXES):
        output = output / f"{name}.mp4"
    visualizer = VideoVisualizer(predictor.metadata)
    with ExitStack() as stack:
        video = stack.enter_context(Video(source))
        written = None if output is None else VideoFile(output, video.fps)
        if written is not None:
            stack.callback(written.close)
        predictions = predictor.predict_frames(video)
        try:
            for number, prediction in enumerate(tqdm(predictions, total=video.num_frames, unit="frame")):
                if export is not None:
                    export.add(f"{name}_{number:06d}", video.name, prediction.panoptic, prediction.segments_info)
                if written is not None:
                    segments = [dict(segment) for segment in prediction.segments_info]
                    ids = torch.from_numpy(prediction.panoptic)
                    drawn = visualizer.draw_panoptic_seg_predictions(prediction.image, ids, segments)
                    written.write(drawn.get_image())
        except DataError as error:
            failures.append(str(error))


def main(args: argparse.Namespace) -> list[str]:
    """Predict what the arguments name; returns a line per input that failed."""
    check(args)
    files = expand_inputs(args.input or [])
    if args.output and files:
        picture_files(args.output, files)  # a wrong --output shows before the networks are loaded
    predictor = build_predictor(args)
    failures: list[str] = []
    with ExitStack() as stack:
        export = None
        if args.save_predictions:
            export = CocoPanopticWriter(args.save_predictions, "pred", classes=classes_of(predictor.cfg))
            stack.callback(export.finish)  # also after an error and Ctrl-C: what is predicted is kept
        if files:
            predict_pictures(args, predictor, files, export, failures)
        else:
            predict_video(args, predictor, export, failures)
    return failures


def run(arguments: Iterable[str] | None = None) -> int:
    """Exit status: 0, 1 after an error or a failed input, 130 after Ctrl-C."""
    args = build_parser().parse_args(None if arguments is None else list(arguments))
    try:
        failures = main(args)
    except KeyboardInterrupt:
        print("interrupted; what was finished before is kept", file=sys.stderr)
        return 130
    except (DataError, OSError, RecipeError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if failures:
        print("\n".join([f"{len(failures)} failed:", *failures]), file=sys.stderr)
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(run())
