"""One thing wrong with a spec, by its path in the data; files turn the path into line and column."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from coalmine.errors import Problem

Path = tuple[str | int, ...]
"""Keys and indexes from the top of the spec, such as ``("steps", 1, "weight")``."""

_PLAIN_KEY = re.compile(r"[A-Za-z_][\w-]*")
_USERINFO = re.compile(r"(//)[^/\s@]*@")
_LONGEST_VALUE = 80
_LONGEST_LINE = 600


@dataclass(frozen=True)
class Fault:
    """What is wrong at ``path``; ``on_key`` = the key itself is wrong, not its value.

    ``near`` is where to look when nothing is written at ``path``: what made its default wrong.
    """

    path: Path
    message: str
    on_key: bool = False
    near: Path = ()


def as_problem(fault: Fault, file: str = "", line: int = 0, column: int = 0) -> Problem:
    """The fault as people see it: on one line, whatever is quoted in it."""
    field, message = (_bounded(printable(text), _LONGEST_LINE) for text in (field_name(fault.path), fault.message))
    return Problem(field, message, file, line, column)


def printable(text: str) -> str:
    """On one line, and nothing in it that a terminal would obey."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in " ".join(text.split()))


def _bounded(line: str, limit: int) -> str:
    return line if len(line) <= limit else line[: limit - 3] + "..."


def field_name(path: Path) -> str:
    """A path as people read it: ``steps[1].weight``, counted from 0; odd keys in quotes."""
    name = ""
    for part in path:
        if isinstance(part, int):
            name += f"[{part}]"
        elif _PLAIN_KEY.fullmatch(str(part)):
            name += f".{part}" if name else str(part)
        else:
            name += f"[{part!r}]"
    return name


def shown(value: object) -> str:
    """A value as a message shows it: in quotes, not endless, and without the user and password of a URL."""
    if value is None or isinstance(value, bool):
        return "nothing" if value is None else str(value).lower()
    try:
        text = _USERINFO.sub(r"\1***@", repr(value))
    except ValueError:  # Python writes no whole number of more than 4,300 digits.
        return "a number without end"
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 3] + "..."


def nearest(word: object, known: Iterable[str]) -> str | None:
    """The known word that was probably meant, None when none is near."""
    if not isinstance(word, str):
        return None
    lowered = {name.lower(): name for name in known}
    found = get_close_matches(word.lower().replace("-", "_"), lowered, n=1, cutoff=0.6)
    return lowered[found[0]] if found else None


def listed(names: Iterable[str], none: str = "none") -> str:
    """Names in one readable list."""
    return ", ".join(names) or none


def did_you_mean(word: object, known: Sequence[str]) -> str:
    """How a sentence about an unknown word ends: with the nearest known one, and all of them."""
    near = nearest(word, known)
    return f"{f': did you mean {near!r}?' if near else ''} (known: {listed(known)})"
