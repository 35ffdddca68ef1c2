"""What an accumulator keeps of every image: exact sums over many processes, and resampling of the images.

Sums of floats depend on their order. Entries are therefore kept by image and reduced in the order of the image keys,
whatever the order of arrival and the number of processes.
"""

from __future__ import annotations

from typing import Any, Union

import numpy as np
from numpy.typing import NDArray

ImageKey = Union[int, str, tuple[str, ...]]
Entry = tuple[NDArray[Any], ...]


class PerImageScores:
    """An entry, some arrays, per image. Images without a key count as different ones and follow the others."""

    def __init__(self) -> None:
        self._by_key: dict[ImageKey, Entry] = {}
        self._without_key: list[Entry] = []

    def add(self, key: ImageKey | None, entry: Entry) -> None:
        """Keep the entry of an image; the same entry of the same image again, as padded samplers bring it, is one.

        Raises:
            ValueError: the image came before with another entry.
        """
        if key is None:
            self._without_key.append(entry)
            return
        known = self._by_key.setdefault(key, entry)
        if not all(np.array_equal(old, new) for old, new in zip(known, entry)):
            raise ValueError(f"image {key} was added twice, with different predictions or labels")

    def merge(self, other: PerImageScores) -> None:
        """Add the entries of another process; errors as in `add`."""
        for key, entry in other._by_key.items():
            self.add(key, entry)
        self._without_key += other._without_key

    def __len__(self) -> int:
        return len(self._by_key) + len(self._without_key)

    def keys(self) -> list[ImageKey | None]:
        """Keys in the order of `ordered`."""
        # Numbers before texts: Python does not compare them.
        by_kind = sorted(self._by_key, key=lambda key: (type(key).__name__, key))
        return [*by_kind, *[None] * len(self._without_key)]

    def ordered(self) -> list[Entry]:
        """Entries by key, then those without one as they came."""
        return [*(self._by_key[key] for key in self.keys() if key is not None), *self._without_key]
