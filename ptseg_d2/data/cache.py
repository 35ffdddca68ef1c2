"""Decoded images kept in memory: small data sets are read once instead of once per epoch."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class MemoryCache(Generic[Value]):
    """Values by key; forgets those unused for longest beyond a limit of memory.

    The caller must not change a value it was given.
    """

    def __init__(self, max_bytes: int, size_of: Callable[[Value], int]) -> None:
        """
        Args:
            max_bytes: memory for all values together; 0 keeps nothing.
            size_of: bytes of a value.
        """
        self.max_bytes = max_bytes
        self.size_of = size_of
        self.num_bytes = 0
        self._values: OrderedDict[Hashable, Value] = OrderedDict()

    def get(self, key: Hashable, load: Callable[[], Value]) -> Value:
        """The value of a key, loaded if it is not here; errors of `load` pass through and leave nothing."""
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key]
        value = load()
        self._values[key] = value
        self.num_bytes += self.size_of(value)
        while self.num_bytes > self.max_bytes:
            _, oldest = self._values.popitem(last=False)
            self.num_bytes -= self.size_of(oldest)
        return value
