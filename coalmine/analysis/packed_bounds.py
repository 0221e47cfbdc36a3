"""The bounds of all histograms as one text: a JVM's client library has 70 of ten digits each, mostly the same ones.

Written out, those of two metrics alone would take up a kilobyte of the evidence. Bounds that are whole nanoseconds are
mostly evenly apart for a while, and then at other distances: kept is how the distance changes from bound to bound.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Any

from coalmine.analysis.packing import as_text, from_text
from coalmine.analysis.windows import Bounds
from coalmine.errors import InputError

_SECOND = 1_000_000_000
"""Nanoseconds."""
_CHANGES = "ns"


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
        return {name: _read(written) for name, written in read.items()}
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError, zlib.error) as error:
        raise InputError(
            f"evidence.state: its bounds cannot be read ({error}): pass on what the last evaluation returned"
        ) from None


@lru_cache(maxsize=64)
def _deflated(bounds: tuple[tuple[str, Bounds], ...]) -> str:
    """They are the same look after look."""
    return as_text(zlib.compress(_as_json({name: _written(known) for name, known in bounds}).encode(), 9))


def _written(bounds: Bounds) -> Any:
    """Seconds as they are, or the changes of their distances in nanoseconds, whichever is shorter."""
    if not all(math.isfinite(bound) for bound in bounds):
        return bounds
    nanoseconds = [round(bound * _SECOND) for bound in bounds]
    if tuple(_seconds(nanoseconds)) != bounds:
        return bounds
    changes = {_CHANGES: _differences(_differences(nanoseconds))}
    return min(bounds, changes, key=lambda written: len(_as_json(written)))


def _read(written: Any) -> Bounds:
    if isinstance(written, dict):
        return tuple(_seconds(accumulate(accumulate(written[_CHANGES]))))
    return tuple(float(bound) for bound in written)


def _seconds(nanoseconds: Iterable[int]) -> list[float]:
    return [whole / _SECOND for whole in nanoseconds]


def _differences(values: Sequence[int]) -> list[int]:
    """Of each from the one before; the first from 0."""
    return [after - before for before, after in pairwise([0, *values])]


def _as_json(written: Any) -> str:
    return json.dumps(written, separators=(",", ":"))
