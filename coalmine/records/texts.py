"""Texts that cannot be written: half a character (``\\ud800``), which JSON, YAML and file names can bring in, but UTF-8
has no bytes for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from coalmine.errors import InputError

HALF = re.compile("[\ud800-\udfff]")
"""Python has a character beyond U+FFFF as one, so every half is alone."""
_SHOWN = 80


def writable(text: str) -> str:
    """The text with its halves spelled out: it can be shown, stored and sent."""
    return text.encode("utf-8", "backslashreplace").decode()


def check_writable(given: BaseModel | Mapping[str, Any]) -> None:
    """Refuse what could not be sent to Temporal.

    Raises:
        InputError: a text holds half a character; names the field.
    """
    plain = given.model_dump(by_alias=True, warnings=False) if isinstance(given, BaseModel) else given
    for field, text in _texts(plain, ""):
        if (half := HALF.search(text)) is not None:
            shown = writable(text)
            raise InputError(
                f"{field}: {shown if len(shown) <= _SHOWN else shown[: _SHOWN - 3] + '...'!r} holds "
                f"{writable(half[0])}, which is half a character: write the text anew, in UTF-8"
            )


def _texts(value: Any, field: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield field, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            name = f"{field}.{key}" if field else str(key)
            yield from _texts(key, writable(name))
            yield from _texts(inner, writable(name))
    elif isinstance(value, list | tuple | set | frozenset):
        for inner in value:
            yield from _texts(inner, field)
