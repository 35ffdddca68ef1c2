"""Registries of what a config or a data set names: label formats, data sets, rules of pseudo labels.

They are fvcore's, which Detectron2 uses as well, so that they work as its users know them. Importing this needs no
Detectron2, whose registries of networks stay what they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

from fvcore.common.registry import Registry

T = TypeVar("T")


class NamedRegistry(Registry, Generic[T]):
    """fvcore's registry for entries of one type, under names that need not be Python's.

    Its errors are for users: they say where the name stands and which names there are.
    """

    def __init__(self, name: str, key: str) -> None:
        """
        Args:
            name: of the registry.
            key: where a user finds the name of an entry, such as a config key; for errors.
        """
        super().__init__(name)
        self.key = key

    @overload
    def register(self, obj: None = None, *, name: str = "") -> Callable[[T], T]: ...

    @overload
    def register(self, obj: T, *, name: str = "") -> T: ...

    def register(self, obj: Any = None, *, name: str = "") -> Any:
        """Add an entry, as a call or as a decorator: `@REGISTRY.register(name="gta5")`.

        Args:
            obj: the entry.
            name: by default the name of the function or class.
        """

        def add(entry: Any) -> Any:
            self._do_register(name or entry.__name__, entry)
            return entry

        return add if obj is None else add(obj)

    def get(self, name: str) -> T:
        """The entry of a name.

        Raises:
            ValueError: there is none; lists the names.
        """
        if name not in self:
            raise ValueError(f"{self.key} = {name!r}; expected one of: {', '.join(self.names())}")
        entry: T = super().get(name)
        return entry

    def names(self) -> list[str]:
        """Of all entries, in the order in which they were registered."""
        return [name for name, _ in self]
