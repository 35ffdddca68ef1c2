"""Maps that a stage writes for a later one; damaged images are in test_labels and test_bad_input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ptseg_d2.data.image_files import read_png, write_png
from ptseg_d2.errors import DataError

import numpy as np
import pytest


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_was_written_is_read(tmp_path: Path, dtype: Any) -> None:
    values = np.array([[0, 13, 255], [1, 2, np.iinfo(dtype).max]], dtype)
    write_png(tmp_path / "map.png", values)
    found = read_png(tmp_path / "map.png")
    assert found.dtype == dtype and found.tolist() == values.tolist()


@pytest.mark.parametrize("content", [None, b"no picture"])
def test_unreadable_map_ends_the_run(tmp_path: Path, content: bytes | None) -> None:
    """Other than a bad image, for which the loader takes another one."""
    if content is not None:
        (tmp_path / "map.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"map\.png cannot be read: delete the folder of the stage") as caught:
        read_png(tmp_path / "map.png")
    assert not isinstance(caught.value, DataError)


def test_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"could not write .*absent/map\.png"):
        write_png(tmp_path / "absent" / "map.png", np.zeros((2, 2), np.uint8))
