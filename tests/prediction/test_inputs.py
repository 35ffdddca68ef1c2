"""Files from folders and patterns, their names, and videos."""

from __future__ import annotations

from pathlib import Path

from ptseg_d2.errors import DataError
from ptseg_d2.prediction.inputs import Video, expand_inputs, unique_names

import numpy as np
import pytest
from odd_files import truncate, write_video


def make(folder: Path, *names: str) -> list[str]:
    """Empty files."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return [str(folder / name) for name in names]


def test_files_folders_and_patterns(tmp_path: Path) -> None:
    b, a, other, text, deep = make(tmp_path, "f/b.png", "f/a.JPG", "x.raw", "f/notes.txt", "f/sub.png/c.png")
    assert expand_inputs([tmp_path / "f"]) == [a, b]  # sorted; no text, no sub-folder
    assert expand_inputs([other, f"{tmp_path}/f/*.png"]) == [other, b, deep]  # a named file may end as it likes
    assert expand_inputs([f"{tmp_path}/**/*.png"]) == [b, deep]
    assert expand_inputs([text, b, f"{tmp_path}/f", b]) == [text, b, a]  # each once
    assert expand_inputs([]) == []


def test_a_name_with_brackets_is_a_name(tmp_path: Path) -> None:
    bracket, _ = make(tmp_path, "scene[1].png", "scene1.png")
    assert expand_inputs([bracket]) == [bracket]


def test_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (file,) = make(tmp_path, "a.png")
    assert expand_inputs(["~/a.png"]) == [file]


@pytest.mark.parametrize(
    ("pattern", "message"), [("gone.png", "no file"), ("*.png", "no file"), ("", "without images")]
)
def test_nothing_found_names_the_pattern(tmp_path: Path, pattern: str, message: str) -> None:
    make(tmp_path, "notes.txt")
    with pytest.raises(FileNotFoundError, match=message) as error:
        expand_inputs([str(tmp_path / pattern)])
    assert str(tmp_path / pattern) in str(error.value)


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["a/x.png", "a/y.png"], ["x", "y"]),
        (["a/x.png", "b/x.png", "y.png"], ["a_x", "b_x", "y"]),
        (["a/x.png", "a/x.jpg"], ["a_x", "a_x_2"]),
        (["a/x.png", "b/x.png", "c/a_x.png"], ["a_x", "b_x", "a_x_2"]),
        (["a/x.png", "a/X.png"], ["x", "X_2"]),
    ],
)
def test_names_never_collide(files: list[str], names: list[str]) -> None:
    assert unique_names(files) == names


def test_video_gives_rgb_frames(tmp_path: Path) -> None:
    with Video(write_video(tmp_path / "clip.mp4", 12)) as video:
        assert (video.num_frames, video.fps) == (12, 5.0)
        frames = list(video)
    assert len(frames) == 12 and frames[0].shape == (32, 64, 3) and frames[0].dtype == np.uint8
    red, green, blue = frames[0][16, 8].astype(int)
    assert red < 60 and 80 < green < 160 and blue > 200


def test_video_that_ends_early_gives_its_frames_first(tmp_path: Path) -> None:
    path = truncate(write_video(tmp_path / "cut.avi", 20, codec="MJPG"), 0.6)
    frames = []
    with Video(path) as video, pytest.raises(DataError, match=r"cut\.avi: the video ends early, after \d+ of 20") as e:
        for frame in video:
            frames.append(frame)
    assert 1 <= len(frames) < 18 and f"after {len(frames)} of" in str(e.value)


@pytest.mark.parametrize(
    ("name", "codec", "kept", "message"),
    [
        ("none.avi", "MJPG", 1.0, "no frame"),
        ("none.mp4", "mp4v", 1.0, "cannot be opened"),
        ("cut.mp4", "mp4v", 0.6, "cannot be opened"),  # its index, at the end, is lost
    ],
)
def test_video_without_frames(tmp_path: Path, name: str, codec: str, kept: float, message: str) -> None:
    path = write_video(tmp_path / name, 20 if kept < 1 else 0, codec=codec)
    with pytest.raises(DataError, match=f"{name}: .*{message}"):
        list(Video(truncate(path, kept)))


def test_no_video(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="video gone.mp4 not found"):
        Video("gone.mp4")
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(DataError, match=r"text\.mp4: cannot be opened"):
        Video(tmp_path / "text.mp4")
