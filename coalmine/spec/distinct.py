"""Lists in which everything is named once."""

from __future__ import annotations


def distinct(values: list[str]) -> list[str]:
    """The list as it is.

    Raises:
        ValueError: something is listed twice.
    """
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise ValueError(f"{twice[0]!r} is listed twice: each is named once")
    return values
