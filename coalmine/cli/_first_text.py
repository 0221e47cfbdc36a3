"""Values as a first spec writes them in YAML. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

_PLAIN = re.compile(r"[A-Za-z][\w-]*(/[\w.-]+)*")
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})


def listed(values: Sequence[str]) -> str:
    """In one line."""
    return f"[{', '.join(scalar(value) for value in values)}]"


def scalar(text: str) -> str:
    """In quotes where it would be something else without."""
    plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    return text if plain else json.dumps(text, ensure_ascii=False)


def quoted(text: str) -> str:
    """In single quotes: selectors are full of double ones."""
    return "'" + text.replace("'", "''") + "'"
