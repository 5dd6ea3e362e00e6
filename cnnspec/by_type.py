"""Registries by type, and packages whose modules fill them."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class ByType(Generic[T]):
    """One entry for each class: an object has that of its own class, else that of the nearest base class.

    ``noun`` is the word for an entry, as errors say it: ``lowering``.
    """

    def __init__(self, noun: str) -> None:
        self.noun = noun
        self._entries: dict[type, T] = {}

    def put(self, entry: T, *classes: type) -> None:
        """Enter one value for classes that have none yet."""
        for cls in classes:
            assert cls not in self._entries, f"{cls.__name__} has two {self.noun}s"
            self._entries[cls] = entry

    def adds(self, *classes: type) -> Callable[[T], T]:
        """Return a decorator that enters a function for classes that have none yet."""

        def enter(entry: T) -> T:
            self.put(entry, *classes)
            return entry

        return enter

    def __contains__(self, cls: type) -> bool:
        return any(base in self._entries for base in cls.__mro__)

    def of(self, thing: Any) -> T:
        """Return the entry of an object.

        Raises
        ------
        NotImplementedError
            Where neither its class nor a base class has one.
        """
        for cls in type(thing).__mro__:
            if cls in self._entries:
                return self._entries[cls]
        raise NotImplementedError(f"{getattr(thing, 'name', type(thing).__name__)} has no {self.noun}")


def import_modules(package: str) -> None:
    """Import every module in a package's folder: a file that stands there takes part, and no list names it."""
    for module in iter_modules(import_module(package).__path__):
        import_module(f"{package}.{module.name}")
