"""Image and video files as they come from elsewhere."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
from PIL import Image


def noise(height: int, width: int, *channels: int) -> np.ndarray:
    """uint8 of a fixed seed."""
    return np.random.default_rng(0).integers(0, 256, (height, width, *channels), dtype=np.uint8)


def write_png(path: Path, height: int = 32, width: int = 64) -> Path:
    """An ordinary image."""
    Image.fromarray(noise(height, width, 3)).save(path)
    return path


def truncate(path: Path, kept: float = 0.5) -> Path:
    """Cut off the end of a file."""
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    return path


def write_gray_alpha_16(path: Path, values: np.ndarray) -> Path:
    """A 16-bit PNG of two channels, which no library here writes.

    Args:
        path: of the file.
        values: (H, W, 2) uint16, grey and alpha.
    """

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = values.shape
    header = struct.pack(">IIBBBBB", width, height, 16, 4, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    return path


def write_video(path: Path, num_frames: int, fps: float = 5.0, codec: str = "mp4v") -> Path:
    """Frames of 64x32 pixels, a square that moves right on noise.

    Args:
        path: of the file.
        num_frames: may be 0.
        fps: frames per second.
        codec: of four letters.
    """
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, (64, 32))
    assert writer.isOpened()
    for number in range(num_frames):
        frame = noise(32, 64, 3) // 4
        frame[8:24, 2 * number : 2 * number + 16] = (250, 120, 0)  # BGR
        writer.write(frame)
    writer.release()
    return path
