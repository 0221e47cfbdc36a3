"""The bounds of all histograms as one text: a JVM's client library has 70 of ten digits each, mostly the same ones.

Written out, those of two metrics alone would take up a kilobyte of the evidence. Bounds that are whole nanoseconds are
mostly evenly apart for a while, and then at other distances: kept is how the distance changes from bound to bound. Of
bounds that grow by a factor, whose decimals never end, the bits are kept: how they rise from bound to bound.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from coalmine.analysis.grids import Integers
from coalmine.analysis.packing import as_text, from_planes, from_text, planes
from coalmine.analysis.windows import Bounds
from coalmine.errors import InputError

_SECOND = 1_000_000_000
"""Nanoseconds."""
_LONGEST = 2.0**53 / _SECOND
"""Seconds whose nanoseconds are whole numbers of a double."""
_CHANGES, _BITS = "ns", "bits"


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
    except (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError, zlib.error) as error:
        raise InputError(
            f"evidence.state: its bounds cannot be read ({error}): pass on what the last evaluation returned"
        ) from None


@lru_cache(maxsize=64)
def _deflated(bounds: tuple[tuple[str, Bounds], ...]) -> str:
    """They are the same look after look."""
    return as_text(zlib.compress(_as_json({name: _written(known) for name, known in bounds}).encode(), 9))


def _written(bounds: Bounds) -> Any:
    """Seconds as they are, the changes of their distances in nanoseconds, or their bits: whichever is shortest."""
    if not all(math.isfinite(bound) for bound in bounds):
        return bounds
    rises: Integers = np.diff(np.array(bounds, "<f8").view("<i8"), prepend=0)
    ways: list[Any] = [bounds, {_BITS: as_text(zlib.compress(planes(rises), 9))}]
    if all(abs(bound) < _LONGEST for bound in bounds):
        nanoseconds = [round(bound * _SECOND) for bound in bounds]
        if tuple(_seconds(nanoseconds)) == bounds:
            ways.append({_CHANGES: _differences(_differences(nanoseconds))})
    return min(ways, key=lambda written: len(zlib.compress(_as_json(written).encode(), 9)))


def _read(written: Any) -> Bounds:
    """Seconds that rise.

    Raises:
        ValueError: they do not, as do the others where it is no such thing.
    """
    if isinstance(written, list):
        found = tuple(float(bound) for bound in written)
    elif _BITS in written:
        rises = from_planes(zlib.decompress(from_text(written[_BITS])), "<i8")
        found = tuple(np.cumsum(rises).view("<f8").tolist())
    else:
        found = tuple(_seconds(accumulate(accumulate(written[_CHANGES]))))
    if any(map(math.isnan, found)) or not all(lower < upper for lower, upper in pairwise(found)):
        raise ValueError("they do not rise")
    return found


def _seconds(nanoseconds: Iterable[int]) -> list[float]:
    return [whole / _SECOND for whole in nanoseconds]


def _differences(values: Sequence[int]) -> list[int]:
    """Of each from the one before; the first from 0."""
    return [after - before for before, after in pairwise([0, *values])]


def _as_json(written: Any) -> str:
    return json.dumps(written, separators=(",", ":"))
