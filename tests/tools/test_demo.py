"""The demo on good and broken files: what it writes, what it says, its exit status."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from ptseg_d2.panoptic_ids import rgb_to_ids
from ptseg_d2.prediction.images import PanopticPrediction
from ptseg_d2.prediction.predictor import PanopticPredictor

import cv2
import demo
import numpy as np
import pytest
from odd_files import noise, truncate, write_png, write_video
from PIL import Image
from tiny import CONFIGS
from untrained import OVERRIDES, untrained_run


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained_run(tmp_path_factory.mktemp("untrained") / "run")


def demo_of(run_folder: Path, *arguments: object) -> int:
    """Exit status of tools/demo.py with a run folder."""
    return demo.run(["--run-folder", str(run_folder), "--device", "cpu", *map(str, arguments)])


def test_pictures_of_a_folder(run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    write_png(tmp_path / "in" / "a.png")
    write_png(tmp_path / "in" / "long.jpg", 600, 8)
    assert demo_of(run_folder, "--input", tmp_path / "in", "--output", tmp_path / "out") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "long.png"]
    assert Image.open(tmp_path / "out" / "a.png").size == (1024, 512)
    assert Image.open(tmp_path / "out" / "long.png").size == (48, 3600)  # no longer than 4096 pixels
    assert capsys.readouterr().out == ""


def test_broken_files_are_listed_and_the_good_ones_written(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b", "c", "d", "e"):
        write_png(tmp_path / f"{name}.png")
    truncate(tmp_path / "b.png")
    (tmp_path / "c.png").write_text("text")
    (tmp_path / "d.png").write_bytes(b"")
    out = tmp_path / "out"
    assert demo_of(run_folder, "--input", tmp_path, "--output", out, "--save-predictions", tmp_path / "coco") == 1
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "e.png"]
    assert sorted(path.name for path in (tmp_path / "coco" / "pred").iterdir()) == ["a.png", "e.png"]
    lines = capsys.readouterr().err.splitlines()
    listed = lines[lines.index("3 failed:") + 1 :]
    assert ["b.png: truncated PNG" in listed[0], "c.png: not an image" in listed[1]] == [True, True]
    assert "d.png: the file is empty" in listed[2] and len(listed) == 3


def test_predictions_in_the_coco_format(run_folder: Path, tmp_path: Path) -> None:
    image = write_png(tmp_path / "a.png", 64, 128)
    assert demo_of(run_folder, "--input", image, "--save-predictions", tmp_path / "coco") == 0  # needs no --output
    content = json.loads((tmp_path / "coco" / "pred.json").read_text())
    prediction = PanopticPredictor(run_folder, device="cpu").predict(noise(64, 128, 3))
    ids = rgb_to_ids(np.array(Image.open(tmp_path / "coco" / "pred" / "a.png")))
    assert np.array_equal(ids, prediction.panoptic)
    segments = content["annotations"][0]["segments_info"]
    assert [s["area"] for s in segments] == [s["area"] for s in prediction.segments_info]
    assert [i["file_name"] for i in content["images"]] == ["a.png"]


def test_same_names_do_not_overwrite_each_other(run_folder: Path, tmp_path: Path) -> None:
    files = []
    for name in ("one/x.png", "two/x.png", "two/x.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        files.append(write_png(tmp_path / name))
    assert demo_of(run_folder, "--input", *files, "--output", tmp_path / "out") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["one_x.png", "two_x.png", "two_x_2.png"]


def test_one_image_to_one_file(run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = write_png(tmp_path / "a.png")
    assert demo_of(run_folder, "--input", image, "--output", tmp_path / "new" / "drawn.jpg") == 0
    assert Image.open(tmp_path / "new" / "drawn.jpg").format == "JPEG"
    other = write_png(tmp_path / "b.png")
    assert demo_of(run_folder, "--input", image, other, "--output", tmp_path / "drawn.png") == 1
    assert "is one file for 2 inputs; give a folder" in capsys.readouterr().err


def test_config_file_and_overrides_of_the_training(run_folder: Path, tmp_path: Path) -> None:
    arguments = ["--config-file", str(CONFIGS / "instance_source.yaml"), "--input", str(write_png(tmp_path / "a.png"))]
    arguments += ["--output", str(tmp_path / "out"), "--opts", *OVERRIDES, "OUTPUT_DIR", str(run_folder)]
    assert demo.run(arguments) == 0
    assert (tmp_path / "out" / "a.png").exists()


@pytest.mark.parametrize("suffix", [".mp4", ""])
def test_video(run_folder: Path, tmp_path: Path, suffix: str) -> None:
    clip = write_video(tmp_path / "clip.mp4", 4)
    output = tmp_path / f"drawn{suffix}"
    assert demo_of(run_folder, "--video-input", clip, "--output", output, "--save-predictions", tmp_path / "coco") == 0
    video = cv2.VideoCapture(str(output if suffix else output / "clip.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 4 and video.get(cv2.CAP_PROP_FPS) == 5
    assert video.read()[1].shape == (32, 64, 3)
    names = sorted(path.name for path in (tmp_path / "coco" / "pred").iterdir())
    assert names == [f"clip_{number:06d}.png" for number in range(4)]


def test_video_that_ends_early_is_drawn_as_far_as_it_goes(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = truncate(write_video(tmp_path / "cut.avi", 20, codec="MJPG"), 0.6)
    assert demo_of(run_folder, "--video-input", clip, "--output", tmp_path / "drawn.mp4") == 1
    assert "cut.avi: the video ends early, after" in capsys.readouterr().err
    assert cv2.VideoCapture(str(tmp_path / "drawn.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) > 1


def test_video_without_a_frame_writes_nothing(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = write_video(tmp_path / "none.avi", 0, codec="MJPG")
    assert demo_of(run_folder, "--video-input", clip, "--output", tmp_path / "out") == 1
    assert "none.avi: the video has no frame" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_missing_codec_names_the_way_out(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = write_video(tmp_path / "clip.mp4", 2)
    monkeypatch.setattr(cv2.VideoWriter, "fourcc", lambda *_: 0x21212121)
    assert demo_of(run_folder, "--video-input", clip, "--output", tmp_path / "out.avi") == 1
    assert "codec mp4v" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input", "a.png"], "give --output: there is no window"),
        (["--input", "gone.png", "--output", "out"], "input gone.png: no file"),
        (["--video-input", "gone.mp4", "--output", "out"], "video gone.mp4 not found"),
        (["--input", ".", "--output", "out", "--confidence-threshold", "7"], "expected a score from 0 to 1"),
    ],
)
def test_wrong_arguments(
    run_folder: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo_of(run_folder, *arguments) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert message in line


def test_which_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.run(["--input", str(write_png(tmp_path / "a.png")), "--output", str(tmp_path)]) == 1
    assert "give --run-folder" in capsys.readouterr().err


def test_confidence_threshold(run_folder: Path, tmp_path: Path) -> None:
    image = write_png(tmp_path / "a.png", 64, 128)
    counts = []
    for threshold in ("0", "1"):
        folder = tmp_path / threshold
        flags = ["--save-predictions", folder, "--confidence-threshold", threshold]
        assert demo_of(run_folder, "--input", image, *flags) == 0
        segments = json.loads((folder / "pred.json").read_text())["annotations"][0]["segments_info"]
        counts.append(sum(segment["category_id"] == 26 for segment in segments))  # cars
    assert counts[0] > 0 == counts[1]


def test_ctrl_c_keeps_what_is_finished(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a", "b", "c"):
        write_png(tmp_path / "in" / f"{name}.png")
    predict_files = PanopticPredictor.predict_files

    def interrupted(self: PanopticPredictor, patterns: list[str]) -> Iterator[tuple[str, PanopticPrediction]]:
        for number, (name, prediction) in enumerate(predict_files(self, patterns)):
            if number == 2:
                raise KeyboardInterrupt
            assert isinstance(prediction, PanopticPrediction)
            yield name, prediction

    monkeypatch.setattr(PanopticPredictor, "predict_files", interrupted)
    flags = ["--output", tmp_path / "out", "--save-predictions", tmp_path / "coco"]
    assert demo_of(run_folder, "--input", tmp_path / "in", *flags) == 130
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "b.png"]
    content = json.loads((tmp_path / "coco" / "pred.json").read_text())
    assert [image["file_name"] for image in content["images"]] == ["a.png", "b.png"]
    assert "kept" in capsys.readouterr().err


def test_as_a_command(run_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.png").write_bytes(b"")
    command = [sys.executable, demo.__file__, "--run-folder", str(run_folder), "--device", "cpu"]
    command += ["--input", str(tmp_path / "empty.png"), "--output", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=CONFIGS.parent)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "1 failed:" in done.stderr and "empty.png: the file is empty" in done.stderr
