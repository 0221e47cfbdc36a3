"""Adapters of one sort by kind: those built in, and those other distributions bring by entry point."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from coalmine.errors import InputError, MissingExtra, UnknownAdapter

T = TypeVar("T")


def built_in(target: str, extra: str = "") -> Callable[[], Any]:
    """An adapter of this package, ``module:Class``, imported when it is made: by then its ``extra`` must be there."""

    def make() -> Any:
        module, _, name = target.partition(":")
        try:
            return getattr(import_module(module), name)()
        except ModuleNotFoundError as error:
            if not extra:
                raise
            raise MissingExtra(extra, name) from error

    return make


class Adapters(Generic[T]):
    """What makes an adapter of each kind."""

    def __init__(self, what: str, group: str, built_in: Mapping[str, Callable[[], T]]) -> None:
        """``what`` names the sort in messages; entry points of ``group`` name a callable without arguments."""
        self._what, self._group, self._built_in = what, group, built_in

    def kinds(self) -> list[str]:
        """All kinds that can be used here, sorted."""
        return sorted(self.factories())

    def make(self, kind: str) -> T:
        """An adapter of this kind.

        Raises:
            UnknownAdapter: nobody registered it; lists those that are.
            InputError: two have one name.
        """
        factories = self.factories()
        if kind not in factories:
            raise UnknownAdapter(f"{self._what} kind {kind!r} is not known; known are {', '.join(sorted(factories))}")
        return factories[kind]()

    def factories(self) -> dict[str, Callable[[], T]]:
        """What makes an adapter of each kind.

        Raises:
            InputError: two have one name.
        """
        found = dict(self._built_in)
        for entry in entry_points(group=self._group):
            if entry.name in found:
                raise InputError(f"two {self._what}s are called {entry.name!r}: uninstall one, such as {entry.value}")
            # Imported when it is made: one that is broken hurts nobody who does not use it.
            found[entry.name] = partial(_made, entry)
        return found


def _made(entry: EntryPoint) -> Any:
    return entry.load()()
