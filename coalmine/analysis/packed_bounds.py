"""The bounds of all histograms as one text: a JVM's client library has 70 of ten digits each, mostly the same ones.

Written out, those of two metrics alone would take up a kilobyte of the evidence.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from coalmine.analysis.packing import as_text, from_text
from coalmine.analysis.windows import Bounds
from coalmine.errors import InputError


def pack_bounds(bounds: Mapping[str, Bounds]) -> str:
    """What ``unpack_bounds`` reads; empty where there are none."""
    return _deflated(tuple(bounds.items())) if bounds else ""


def unpack_bounds(text: Any) -> dict[str, Bounds]:
    """What ``pack_bounds`` wrote.

    Raises:
        InputError: it is damaged.
    """
    if text == "":
        return {}
    try:
        read = json.loads(zlib.decompress(from_text(text)))
        return {name: tuple(float(bound) for bound in bounds) for name, bounds in read.items()}
    except (AttributeError, TypeError, ValueError, zlib.error) as error:
        raise InputError(
            f"evidence.state: its bounds cannot be read ({error}): pass on what the last evaluation returned"
        ) from None


@lru_cache(maxsize=64)
def _deflated(bounds: tuple[tuple[str, Bounds], ...]) -> str:
    """They are the same look after look."""
    return as_text(zlib.compress(json.dumps(dict(bounds), separators=(",", ":")).encode(), 9))
