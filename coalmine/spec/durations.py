"""Durations as people write them: ``250ms`` ``30s`` ``5m`` ``2h`` ``7d``, and ``1h30m``."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from coalmine.spec.faults import shown

_UNITS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|[dhms])")
PATTERN = r"^([0-9]+(\.[0-9]+)?(ms|[dhms]))+$"
LONGEST = timedelta(days=365)
LONGEST_RETENTION = timedelta(days=36_500)
_LONGEST_TEXT = 100
"""Characters; arithmetic on a number of a million digits fails otherwise than on a wrong one."""


def parse_duration(value: Any, longest: timedelta = LONGEST) -> timedelta:
    """Turn ``5m`` into a timedelta: whole milliseconds, from zero to ``longest``.

    Raises:
        ValueError: not a duration; says what one looks like.
    """
    if isinstance(value, timedelta):
        if value < timedelta(0):
            raise ValueError(f"{value!r} is negative: a duration is zero or more")
        return value
    text = value.strip() if isinstance(value, str) else ""
    if len(text) > _LONGEST_TEXT:
        raise ValueError(f"{shown(value)} has {len(text):,} characters: write a duration such as 30s, 5m or 2h")
    if text.startswith("-") and re.fullmatch(PATTERN, text[1:].strip()):
        raise ValueError(f"{value!r} is negative: a duration is zero or more, such as {text[1:].strip()}")
    if not re.fullmatch(PATTERN, text):
        raise ValueError(
            f"{shown(value)} is not a duration: write a number and a unit, such as 250ms, 30s, 5m, 2h or 7d"
        )
    total = sum((Decimal(number) * _UNITS[unit] for number, unit in _PART.findall(text)), Decimal(0))
    if total > longest / timedelta(milliseconds=1):
        raise ValueError(f"{value!r} is longer than {longest.days}d, the longest duration")
    if total != total.to_integral_value():
        raise ValueError(f"{value!r} is finer than a millisecond, the shortest duration")
    return timedelta(milliseconds=int(total))


def format_duration(value: timedelta) -> str:
    """Turn a timedelta into the shortest exact text ``parse_duration`` reads back, such as ``1h30m``."""
    left = round(value / timedelta(milliseconds=1))
    if left <= 0:
        return "0s"
    text = ""
    for unit, size in _UNITS.items():
        count, left = divmod(left, size)
        text += f"{count}{unit}" if count else ""
    return text


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": PATTERN, "examples": ["30s", "5m", "2h"]}),
]
"""A timedelta in Python, ``5m`` in YAML and JSON."""

Retention = Annotated[
    timedelta,
    BeforeValidator(lambda value: parse_duration(value, LONGEST_RETENTION)),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": PATTERN, "examples": ["400d"]}),
]
"""A duration that may be years."""
