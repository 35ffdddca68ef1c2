"""Stands in for the module `time` in a benchmark, so that what it prints does not depend on the machine."""

from __future__ import annotations

from collections.abc import Iterable


class Clock:
    """The n-th interval between two looks at it takes the n-th of some durations; the processor works half of that."""

    def __init__(self, seconds: Iterable[float]) -> None:
        """
        Args:
            seconds: durations of the intervals, at least as many as are measured.
        """
        self._seconds = iter(seconds)
        self._now = 0.0
        self._is_running = False

    def perf_counter(self) -> float:
        if self._is_running:
            self._now += next(self._seconds)
        self._is_running = not self._is_running
        return self._now

    def process_time(self) -> float:
        return self._now / 2


def tables(printed: str) -> list[dict[str, list[str]]]:
    """The tables of a text, their head and separator included: first cell -> the others of a row."""
    found: list[dict[str, list[str]]] = [{}]
    for line in printed.splitlines():
        if line.startswith("|"):
            first, *rest = (cell.strip() for cell in line.strip("|").split("|"))
            found[-1][first] = rest
        elif found[-1]:
            found.append({})
    return [table for table in found if table]
