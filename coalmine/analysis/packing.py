"""The arrays of a state as one text: 4 KB for errors and latency, also with an objective and seventy buckets.

The bets of one process at neighbouring dispersions resemble each other: what capital rises by from one alternative to
the next at a dispersion is about what it rises by at the one below, times the quotient of the two. Only what differs
from that is kept; of a likelihood curve, how its slope changes. Small numbers, low bytes before high ones, deflate
well.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from coalmine.analysis.grids import PHI_LADDER, Integers, Numeric
from coalmine.analysis.repeats import distances, restored
from coalmine.analysis.state import Rounded
from coalmine.analysis.trees import Kind, leaves
from coalmine.errors import InputError

Shapes = tuple[tuple[int, ...], ...]

_BASE = np.uint32(85)
_LETTERS: Numeric = np.frombuffer(
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~", np.uint8
)
"""None of them is escaped in JSON."""
_PLACES: Integers = np.full(256, -1, np.int64)
_PLACES[_LETTERS] = np.arange(85)
_POWERS: Integers = 85 ** np.arange(4, -1, -1)
_FRACTION = 16
"""Quotients of neighbouring dispersions are kept as whole numbers of 2^-16: no machine rounds them otherwise."""
_HALF = 1 << (_FRACTION - 1)
_QUOTIENTS: Numeric = np.rint(PHI_LADDER[:-1] / PHI_LADDER[1:] * (1 << _FRACTION)).astype(np.int32)


def pack(rounded: Rounded) -> str:
    """What ``unpack`` reads."""
    near = _neighbours(rounded.shapes)
    left = rounded.capital.take(near.left)
    # The very first has none.
    left[:1] = 0
    capital = (rounded.capital - left).view(np.int16).astype(np.int32)
    capital -= _expected(capital, near.above, near.quotient)
    steps = np.concatenate([capital.astype(np.int16), _rises(_rises(rounded.curve))])
    # Zigzag: the sign goes into the lowest bit, so that the high byte of what is small is 0.
    signs = steps >> 15
    steps <<= 1
    steps ^= signs
    deflate = zlib.compressobj(4, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
    back = distances(rounded.sums)
    kept = rounded.sums[back == 0]
    moves, sums, counts = (planes(values) for values in (steps.astype("<i2"), kept, rounded.counts.astype("<i8")))
    # Low bytes are noise, high ones nearly all 0: a code of its own for each kind of bytes saves a fourteenth.
    noise, few = 3 * kept.size, rounded.counts.size
    parts = (
        moves[: steps.size],
        moves[steps.size :] + counts[few:] + back.tobytes(),
        sums[:noise] + counts[:few],
        sums[noise:],
    )
    written = [deflate.compress(part) + deflate.flush(zlib.Z_BLOCK) for part in parts]
    return as_text(b"".join(written) + deflate.flush())


def unpack(text: Any, template: Any, *, mixed: bool = True) -> Rounded:
    """What ``pack`` wrote of a state of the template's shape.

    Args:
        mixed: bytes of a kind stand together, whatever they are of; False = as in evidence before version 6.

    Raises:
        InputError: it is damaged, or was written for other metrics.
    """
    try:
        data = zlib.decompress(from_text(text))
    except (TypeError, ValueError, zlib.error) as error:
        raise InputError(
            f"evidence.state: cannot be read ({error}): pass on what the last evaluation returned"
        ) from None
    found = leaves(template)
    size: dict[Kind, int] = dict.fromkeys(("capital", "curve", "sum", "count"), 0)
    for kind, values in found:
        size[kind] += values.size
    zigzag, sums, counts = _read(data, size["capital"] + size["curve"], size["sum"], size["count"], mixed=mixed)
    differences = ((zigzag >> 1) ^ -(zigzag & 1)).view(np.int16)
    shapes = tuple(values.shape for kind, values in found if kind == "capital")
    capital = differences[: size["capital"]].astype(np.int32)
    near = _neighbours(shapes)
    for rung in near.rungs:
        risen = capital[rung] + _expected(capital, near.above[rung], near.quotient[rung])
        capital[rung] = risen.astype(np.int16)
    if near.later.size:
        # A row begins from where the one before began; summed up, from where that one ended.
        spans = np.add.reduceat(capital, near.rows) - capital[near.rows]
        capital[near.rows[near.later]] -= spans[near.later - 1]
    curve = np.cumsum(differences[size["capital"] :], dtype=np.int16)
    return Rounded(
        np.cumsum(capital, dtype=np.uint16), np.cumsum(curve, dtype=np.uint16), sums, counts.astype(np.int64), shapes
    )


def _read(data: bytes, steps: int, sums: int, counts: int, *, mixed: bool) -> tuple[Numeric, Numeric, Numeric]:
    """So many steps in zigzag, sums and counts.

    Raises:
        InputError: there are more or fewer.
    """
    parts: tuple[bytes, ...]
    if mixed:
        low, high, most, distant, rest = _cut(data, steps, steps, 7 * counts, sums)
        back = np.frombuffer(distant, np.uint8)
        noise, few, top = _cut(rest, 3 * distant.count(0), counts)
        parts = low + high, noise + top, few + most
    else:
        back = np.zeros(sums, np.uint8)
        parts = _cut(data, 2 * steps, 4 * sums)
    if [back.size, *map(len, parts)] != [sums, 2 * steps, 4 * np.count_nonzero(back == 0), 8 * counts]:
        raise InputError("evidence.state: was written for other metrics: start anew with `evidence` absent")
    zigzag, kept, whole = (from_planes(part, kind) for part, kind in zip(parts, ("<u2", "<f4", "<i8"), strict=True))
    return zigzag, restored(kept, back), whole


def _rises(steps: Numeric) -> Numeric:
    """From each of the 16-bit steps to the next, modulo 2^16."""
    # ``numpy.diff`` takes four times as long.
    rises = steps.copy()
    rises[1:] -= steps[:-1]
    return rises.view(np.int16)


def _expected(rises: Numeric, above: Integers, quotient: Numeric) -> Numeric:
    result: Numeric = rises.take(above)
    result *= quotient
    result += _HALF
    result >>= _FRACTION
    return result


@dataclass(frozen=True)
class _Neighbours:
    """Where a number of capitals, one behind the other, has its neighbours."""

    left: Integers
    """The alternative before; of the first alternative, that at the dispersion below; of the very first, itself."""
    above: Integers
    """The same alternative at the dispersion below; 0 = there is none."""
    quotient: Numeric
    """Of the two dispersions; 0 where there is none."""
    rungs: tuple[Integers, ...]
    """The places of each dispersion but the lowest, in their order."""
    rows: Integers
    """Where the alternatives of one dispersion begin."""
    later: Integers
    """Which of the rows have a dispersion below."""


@lru_cache(maxsize=64)
def _neighbours(shapes: Shapes) -> _Neighbours:
    lengths, rungs = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for shape in shapes:
        rows = np.arange(np.prod(shape[:-1], dtype=np.int64))
        # Crash guards have one dispersion only.
        laddered = len(shape) > 1 and shape[-2] == PHI_LADDER.size
        lengths.append(np.full(rows.size, shape[-1]))
        rungs.append(rows % PHI_LADDER.size if laddered else np.zeros_like(rows))
    length, rung_of_row = np.concatenate(lengths), np.concatenate(rungs)
    begins = np.cumsum(length) - length
    row = np.repeat(np.arange(length.size), length)
    place, rung = np.arange(row.size), rung_of_row[row]
    has_above = rung > 0
    above = np.where(has_above, place - length[row], 0)
    return _Neighbours(
        left=np.where(has_above & (place == begins[row]), above, np.maximum(place - 1, 0)),
        above=above,
        quotient=np.where(has_above & (place != begins[row]), _QUOTIENTS[rung - 1], 0).astype(np.int32),
        rungs=tuple(np.flatnonzero(rung == one) for one in range(1, PHI_LADDER.size)),
        rows=begins,
        later=np.flatnonzero(rung_of_row > 0),
    )


def as_text(data: bytes) -> str:
    """Five letters for four bytes, as ``base64.b85encode`` has them, which takes ten times as long; zeros fill up."""
    left = np.frombuffer(data + bytes(-len(data) % 4), ">u4").astype(np.uint32)
    letters = np.empty((5, left.size), np.uint8)
    for place in range(4, -1, -1):
        rest = left // _BASE
        left -= rest * _BASE
        letters[place] = left
        left = rest
    return _LETTERS.take(letters.T).tobytes().decode("ascii")


def from_text(text: Any) -> bytes:
    """What ``as_text`` made a text of, with the zeros.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(text, str) or len(text) % 5 or not text.isascii():
        raise ValueError("no text of five letters for four bytes")
    places = _PLACES[np.frombuffer(text.encode("ascii"), np.uint8)].reshape(-1, 5)
    words = places @ _POWERS
    if places.size and (places.min() < 0 or words.max() >= 1 << 32):
        raise ValueError("letters that stand for no bytes")
    return words.astype(">u4").tobytes()


def planes(values: Numeric) -> bytes:
    """First the lowest byte of every number, then the next."""
    return np.ascontiguousarray(values.view(np.uint8).reshape(-1, values.itemsize).T).tobytes()


def _cut(data: bytes, *lengths: int) -> tuple[bytes, ...]:
    """The first so many bytes, the next so many, and the rest."""
    ends = [0, *accumulate(lengths), len(data)]
    return tuple(data[start:end] for start, end in pairwise(ends))


def from_planes(data: bytes, kind: str) -> Numeric:
    """What ``planes`` laid out, of this type."""
    rows = np.frombuffer(data, np.uint8).reshape(np.dtype(kind).itemsize, -1)
    return np.ascontiguousarray(rows.T).reshape(-1).view(kind)
