"""Entries under any name; an unknown one is answered with those that there are."""

from __future__ import annotations

from collections.abc import Callable

from ptseg_d2.registry import NamedRegistry

import pytest
from fvcore.common.registry import Registry

Change = Callable[[int], int]


@pytest.fixture
def registry() -> NamedRegistry[Change]:
    registry: NamedRegistry[Change] = NamedRegistry("CHANGE", "INPUT.CHANGE")

    @registry.register(name="plus-1")
    def plus(number: int) -> int:
        return number + 1

    @registry.register()
    def double(number: int) -> int:
        return 2 * number

    registry.register(lambda number: -number, name="minus")
    return registry


def test_decorator_and_call_with_and_without_a_name(registry: NamedRegistry[Change]) -> None:
    assert registry.names() == ["plus-1", "double", "minus"]
    assert [registry.get(name)(3) for name in registry.names()] == [4, 6, -3]
    assert "minus" in registry and "plus" not in registry


def test_unknown_name_lists_all(registry: NamedRegistry[Change]) -> None:
    with pytest.raises(ValueError, match=r"INPUT\.CHANGE = 'plus'; expected one of: plus-1, double, minus$"):
        registry.get("plus")


def test_a_name_is_given_once(registry: NamedRegistry[Change]) -> None:
    with pytest.raises(AssertionError, match="'minus' was already registered in 'CHANGE'"):
        registry.register(abs, name="minus")


def test_it_is_a_registry_of_detectron2s_kind(registry: NamedRegistry[Change]) -> None:
    assert isinstance(registry, Registry) and "plus-1" in repr(registry)
