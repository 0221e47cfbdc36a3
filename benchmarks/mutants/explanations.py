"""Why a mutant may survive: written by hand in ``explained.toml``, and reviewed as code is.

Two kinds of entries. ``[[mutant]]`` names one change: ``file``, ``inside``, ``before``, ``after`` as the result lists
them. ``[[rule]]`` names a sort of change anywhere: regular expressions for ``before`` and ``after`` that must match as
a whole, and optionally ``file``. Both say what the survivor is (``kind``) and ``why``.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.mutants.population import Mutant

FILE = Path(__file__).with_name("explained.toml")
KINDS = {
    "equivalent": "no input tells the two apart",
    "guard": "only a mistake in our own code would meet it",
    "speed": "the answer is the same, sooner or later",
    "tolerance": "the answer differs by less than what is promised",
}

Key = tuple[str, str, str, str]
"""``Mutant.key``: file, inside, before, after."""


class ExplanationError(Exception):
    """An entry of the file cannot be used; names entry, field and mend."""


@dataclass(frozen=True)
class Explanation:
    """Why one mutant, or one sort of them, may survive."""

    kind: str
    why: str


class Explanations:
    """All entries; ``of`` finds the one that fits a mutant."""

    def __init__(self, entries: dict[str, Any]) -> None:
        self._single: dict[Key, Explanation] = {}
        self._rules: list[tuple[str, re.Pattern[str], re.Pattern[str], Explanation]] = []
        for number, entry in enumerate(entries.get("mutant", []), 1):
            place = f"mutant {number}"
            key = tuple(_text(entry, name, place) for name in ("file", "inside", "before", "after"))
            self._single[key[0], key[1], key[2], key[3]] = _explanation(entry, place)
        for number, entry in enumerate(entries.get("rule", []), 1):
            place = f"rule {number}"
            before, after = (_pattern(entry, name, place) for name in ("before", "after"))
            self._rules.append((entry.get("file", ""), before, after, _explanation(entry, place)))

    @classmethod
    def read(cls, path: Path = FILE) -> Explanations:
        """The entries of a file."""
        return cls(tomllib.loads(path.read_text()))

    def of(self, key: Key) -> Explanation | None:
        """The entry of this very mutant, else the first rule that fits; None without one."""
        if key in self._single:
            return self._single[key]
        for file, before, after, explanation in self._rules:
            if file in ("", key[0]) and before.fullmatch(key[2]) and after.fullmatch(key[3]):
                return explanation
        return None

    def stale(self, population: Sequence[Mutant]) -> list[str]:
        """Entries of single mutants that exist no more."""
        known = {mutant.key for mutant in population}
        return [
            f"{file} {inside}: {before}"
            for (file, inside, before, after) in self._single
            if (file, inside, before, after) not in known
        ]


def _text(entry: dict[str, Any], name: str, place: str) -> str:
    value = entry.get(name)
    if not isinstance(value, str):
        raise ExplanationError(f"{FILE.name}: {place}: {name}: {value!r} is no text: copy it from the result")
    return value


def _pattern(entry: dict[str, Any], name: str, place: str) -> re.Pattern[str]:
    try:
        return re.compile(_text(entry, name, place))
    except re.error as error:
        raise ExplanationError(f"{FILE.name}: {place}: {name}: no regular expression ({error}): mend it") from None


def _explanation(entry: dict[str, Any], place: str) -> Explanation:
    kind, why = _text(entry, "kind", place), _text(entry, "why", place)
    if kind not in KINDS:
        raise ExplanationError(f"{FILE.name}: {place}: kind: {kind!r} is none of {', '.join(KINDS)}")
    return Explanation(kind, why)
