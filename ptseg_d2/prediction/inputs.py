"""What a user points at, files, folders, patterns and videos, as images.

Frames are (H, W, 3) uint8 RGB. An unusable video raises `DataError`, which names it.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

from ptseg_d2.data.image_files import IMAGE_SUFFIXES
from ptseg_d2.errors import DataError

import cv2
import numpy as np
from numpy.typing import NDArray


def expand_inputs(patterns: Sequence[str | os.PathLike[str]]) -> list[str]:
    """Files of all patterns, each once.

    Args:
        patterns: files, folders (their image files, not those of sub-folders) and patterns like 'a/*.png' or
            'a/**/*.png'; a file of that very name comes before a pattern.

    Returns:
        In the order of the patterns, sorted within each.

    Raises:
        FileNotFoundError: a pattern matches no file, or a folder holds no image.
    """
    files: dict[str, None] = {}  # in order, without repetition
    for pattern in (os.path.expanduser(os.fspath(p)) for p in patterns):
        found = [file for place in _places(pattern) for file in _files_of(place)]
        if not found:
            what = "a folder without images" if os.path.isdir(pattern) else "no file, folder or pattern that matches"
            raise FileNotFoundError(f"input {pattern}: {what}; images end in {', '.join(IMAGE_SUFFIXES)}")
        files.update(dict.fromkeys(found))
    return list(files)


def _places(pattern: str) -> list[str]:
    return [pattern] if os.path.exists(pattern) else sorted(glob.glob(pattern, recursive=True))


def _files_of(place: str) -> list[str]:
    if not os.path.isdir(place):
        return [place]
    names = (name for name in sorted(os.listdir(place)) if name.lower().endswith(IMAGE_SUFFIXES))
    return [path for path in (os.path.join(place, name) for name in names) if os.path.isfile(path)]


def unique_names(files: Sequence[str]) -> list[str]:
    """A name for the result of every file: its stem; where several share it, with the folder's name before it.

    Args:
        files: of all kinds; `a/x.png` and `b/x.png` give a_x and b_x, and what is still the same gets a number.
    """
    stems = [Path(file).stem for file in files]
    names: list[str] = []
    taken: set[str] = set()
    for file, stem in zip(files, stems):
        name = stem if stems.count(stem) == 1 else f"{Path(file).parent.name}_{stem}"
        candidate, number = name, 1
        while candidate.lower() in taken:  # some file systems do not tell capitals
            number += 1
            candidate = f"{name}_{number}"
        taken.add(candidate.lower())
        names.append(candidate)
    return names


class Video:
    """Frames of a video file or a camera; a context manager."""

    def __init__(self, source: str | os.PathLike[str] | int) -> None:
        """
        Args:
            source: file, or number of a camera.

        Raises:
            FileNotFoundError: no such file.
            DataError: it is no video that OpenCV can decode, or the camera does not answer.
        """
        self.name = f"camera {source}" if isinstance(source, int) else os.fspath(source)
        if not isinstance(source, int) and not os.path.isfile(source):
            raise FileNotFoundError(f"video {self.name} not found")
        self._capture = cv2.VideoCapture(source if isinstance(source, int) else self.name)
        if not self._capture.isOpened():
            why = "no answer" if isinstance(source, int) else "no video, one that was cut off, or of an unknown codec"
            raise DataError(f"{self.name}: cannot be opened ({why})")

    @property
    def fps(self) -> float:
        """Frames per second, 25 where the source does not tell."""
        fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        return fps if 0 < fps < 1000 else 25.0

    @property
    def num_frames(self) -> int | None:
        """Frames that the file announces; None = it does not."""
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        return int(count) if 0 < count < 2**31 else None

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """The frames that can be decoded.

        Raises:
            DataError: after the last one, if there was none, or clearly fewer than the file announces: more than one
                in a hundred, or two, are missing (some containers only estimate their length).
        """
        count = 0
        while True:
            found, frame = self._capture.read()
            if not found:
                break
            count += 1
            yield np.ascontiguousarray(frame[..., ::-1], dtype=np.uint8)
        announced = self.num_frames or 0
        if count == 0:
            raise DataError(f"{self.name}: the video has no frame that can be decoded")
        if announced - count > max(1, announced // 100):
            raise DataError(f"{self.name}: the video ends early, after {count} of {announced} frames")

    def __enter__(self) -> Video:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._capture.release()
