"""The cache loads once, forgets the oldest, and never holds more than its limit."""

from __future__ import annotations

from ptseg_d2.data.cache import MemoryCache

import pytest


def test_least_recently_used_value_is_forgotten() -> None:
    loads: list[str] = []

    def get(cache: MemoryCache[str], key: str) -> str:
        return cache.get(key, lambda: loads.append(key) or key * 4)  # type: ignore[func-returns-value]

    cache: MemoryCache[str] = MemoryCache(max_bytes=8, size_of=len)
    assert [get(cache, key) for key in "abab"] == ["aaaa", "bbbb", "aaaa", "bbbb"]
    get(cache, "a")
    get(cache, "c")  # b was unused for longest
    get(cache, "a")
    get(cache, "b")
    assert loads == ["a", "b", "c", "b"] and cache.num_bytes == 8


def test_zero_keeps_nothing() -> None:
    cache: MemoryCache[str] = MemoryCache(max_bytes=0, size_of=len)
    assert cache.get("a", lambda: "first") == "first"
    assert cache.get("a", lambda: "second") == "second" and cache.num_bytes == 0


def test_failed_load_leaves_nothing() -> None:
    cache: MemoryCache[str] = MemoryCache(max_bytes=9, size_of=len)

    def fail() -> str:
        raise OSError("truncated")

    with pytest.raises(OSError):
        cache.get("a", fail)
    assert cache.get("a", lambda: "now") == "now"
