"""Image files as arrays, with truncation and damage always detected.

Every unusable file raises `DataError`, which names it; a missing file raises FileNotFoundError.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Union

from ptseg_d2.errors import DataError

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

PathLike = Union[str, Path]

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_END_CHUNK = b"IEND"
PNG_DEPTH_AT = 24  # byte of the header: bits per channel
EXIF_ORIENTATION = 0x0112
FIRST_TURNED = 5  # orientations from here to 8 exchange height and width


def read_image(path: PathLike) -> NDArray[np.uint8]:
    """Image as (H, W, 3) uint8 RGB, upright by its EXIF orientation.

    Transparency is dropped, of an animation the first frame is read, 16 bits are divided by 257 and rounded.

    Raises:
        FileNotFoundError: no such file.
        DataError: the file is empty, truncated, no image, or one of other numbers than 8 or 16 bits per channel.
    """
    data = _read_bytes(path)
    picture = _decode(path, data)
    if picture.mode[0] in "IF" or _is_16_bit_png(data):
        picture = _with_8_bits(path, picture, data)
    try:
        return np.array((ImageOps.exif_transpose(picture) or picture).convert("RGB"))
    except Exception as error:  # Pillow's converters raise many types on odd files
        raise DataError(f"{path}: cannot be converted to RGB ({error})") from error


def read_one_channel(path: PathLike) -> NDArray[np.unsignedinteger[Any]]:
    """Single-channel image, or the indices of a palette image, as (H, W) uint8 or uint16.

    Raises:
        FileNotFoundError: no such file.
        DataError: the file is empty, truncated, no image, or has several channels or other numbers.
    """
    values = np.array(_decode(path, _read_bytes(path)))
    if values.dtype == np.int32 and values.size and values.min() >= 0 and values.max() < 65536:
        values = values.astype(np.uint16)  # older Pillow versions decode 16-bit files so
    if values.ndim != 2 or values.dtype not in (np.uint8, np.uint16):
        raise DataError(
            f"{path}: expected one channel of 8 or 16 bits with label ids, got {values.dtype} of shape {values.shape}"
        )
    return values


def read_rgb16(path: PathLike) -> NDArray[np.uint16]:
    """16-bit colour PNG as (H, W, 3) uint16 RGB. Pillow would silently cut it to 8 bits, OpenCV does not.

    Raises:
        FileNotFoundError: no such file.
        DataError: the file is empty, truncated, no image or no 16-bit colour image.
    """
    pixels = cv2.imdecode(np.frombuffer(_read_bytes(path), np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise DataError(f"{path}: unreadable or truncated image")
    if pixels.dtype != np.uint16 or pixels.ndim != 3:
        raise DataError(
            f"{path}: expected a 16-bit RGB image, got {pixels.dtype} of shape {pixels.shape}; "
            "use the file as downloaded, a conversion to 8 bits destroys the ids"
        )
    return np.ascontiguousarray(pixels[..., 2::-1], dtype=np.uint16)


def image_size(path: PathLike) -> tuple[int, int]:
    """(height, width) of `read_image` from the header of an image file, without decoding it.

    Raises:
        FileNotFoundError: no such file.
        DataError: the file is no image.
    """
    try:
        with Image.open(path) as picture:
            # Pillow decodes a PNG to look for the EXIF data that its header does not announce.
            has_exif = picture.format != "PNG" or "exif" in picture.info
            is_turned = has_exif and picture.getexif().get(EXIF_ORIENTATION, 1) >= FIRST_TURNED
            return (picture.width, picture.height) if is_turned else (picture.height, picture.width)
    except FileNotFoundError:
        raise
    except Exception as error:  # Pillow's decoders raise many types on damaged headers
        raise DataError(f"{path}: not a readable image ({error})") from error


def _read_bytes(path: PathLike) -> bytes:
    data = Path(path).read_bytes()
    if not data:
        raise DataError(f"{path}: the file is empty")
    # Some decoders accept a PNG that was cut off within its rows; its end chunk shows that it is complete.
    if data.startswith(PNG_SIGNATURE) and PNG_END_CHUNK not in data[-64:]:
        raise DataError(f"{path}: truncated PNG (its end is missing); download or create it again")
    return data


def _is_16_bit_png(data: bytes) -> bool:
    return data.startswith(PNG_SIGNATURE) and data[PNG_DEPTH_AT : PNG_DEPTH_AT + 1] == b"\x10"


def _with_8_bits(path: PathLike, picture: Any, data: bytes) -> Any:
    """A picture of 16 bits per channel as RGB of 8 bits; Pillow clips grey ones and cuts the others off."""
    values = np.asarray(picture)
    if _is_16_bit_png(data):
        values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        values = values if values.ndim == 2 else values[..., 2::-1]
    if values.dtype.kind not in "iu" or (values.size and (values.min() < 0 or values.max() > 65535)):
        raise DataError(f"{path}: expected 8 or 16 bits per channel, got {values.dtype}")
    scaled = ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    upright = Image.fromarray(scaled if scaled.ndim == 3 else np.stack([scaled] * 3, axis=-1))
    upright.getexif()[EXIF_ORIENTATION] = picture.getexif().get(EXIF_ORIENTATION, 1)
    return upright


def _decode(path: PathLike, data: bytes) -> Any:
    """Fully decoded picture; Pillow, unlike OpenCV, reports truncated JPEGs and keeps palette indices."""
    try:
        picture = Image.open(io.BytesIO(data))
        picture.load()
    except UnidentifiedImageError as error:
        raise DataError(f"{path}: not an image file") from error
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error, ...
        raise DataError(f"{path}: unreadable or truncated image ({error})") from error
    return picture


def write_png(path: Path, values: NDArray[Any]) -> None:
    """Write an 8- or 16-bit map, or a BGR picture; raises an OSError that names the file if that fails."""
    if not cv2.imwrite(str(path), values):
        raise OSError(f"could not write {path}")


def read_png(path: PathLike) -> NDArray[Any]:
    """A map that `write_png` wrote, (H, W) uint8 or uint16.

    Raises:
        ValueError: it cannot be read. Not a `DataError`: it is no bad image, which would be skipped.
    """
    values = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if values is None:
        raise ValueError(f"{path} cannot be read: delete the folder of the stage that predicted it and run again")
    return values


IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""What is taken from a folder; a file that is named itself may end as it likes."""
