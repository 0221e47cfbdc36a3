"""Inputs that are almost right: valid ones with a few changes, as a hand, a broken disk or an attacker makes them."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

_NUMBERS = (
    *(b"0", b"-1", b"00", b"0x10", b"1_000", b"0.1", b"1e309", b"-1e309", b"1e-400", b"NaN", b"Infinity", b"-Infinity"),
    *(b"18446744073709551616", b"9" * 400),
)
_TIMES = (
    *(b"1y", b"99999999999h", b"-5m", b"5 m", b"1h1h"),
    *(b"2026-13-45T99:99:99Z", b"9999-12-31T23:59:59Z", b"0001-01-01T00:00:00Z"),
    *(b"2026-03-01T12:00:15", b"2026-03-01", b"2026-03-01T12:00:15+01:00", b"0001-01-01T00:00:00+12:00"),
)
_WORDS = (b"null", b"~", b"true", b"no", b'""', b"''", b"[]", b"{}", b"${HOME}", b"!!python/object:x", b"a" * 70_000)
_MARKS = (
    *(b":", b": ", b",", b"-", b"- ", b"?", b"&a", b"*a", b"<<: *a", b"#", b"%", b"@", b"`", b"|", b">", b'"', b"\\"),
    *(b"---\n", b"...\n", b"\n", b"\r", b"\t", b"  ", b"{{", b"}}", b"[" * 2_000, b'{"a":' * 2_000, b"(" * 2_000),
)
_BYTES = (
    *(b"\x00", b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\xe2\x80\xae"),
    *(b"\x1b[31m", b"\\u0000", b"\\ud800"),
)
TOKENS = (*_NUMBERS, *_TIMES, *_WORDS, *_MARKS, *_BYTES)
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
_WORD = re.compile(rb"[A-Za-z_]{2,}")


def mutated(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds with one to eight changes; at times none of it is left."""
    data = rng.choice(seeds)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 5, 8))):
        data = rng.choice(_CHANGES)(rng, data, seeds)
    return data[:200_000]


def _flip(rng: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    if not data:
        return data
    changed = bytearray(data)
    changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _insert(rng: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    at = rng.randint(0, len(data))
    return data[:at] + rng.choice(TOKENS) + data[at:]


def _cut(rng: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    start, end = _range(rng, data)
    return data[:start] + data[end:]


def _repeat(rng: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    start, end = _range(rng, data)
    return data[:end] + data[start:end] * rng.choice((1, 1, 2, 20)) + data[end:]


def _splice(rng: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    other = rng.choice(seeds)
    start, end = _range(rng, other)
    at = rng.randint(0, len(data))
    return data[:at] + other[start:end] + data[at:]


def _truncate(rng: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    return data[: rng.randint(0, len(data))]


def _number(rng: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    return _replaced(rng, data, _NUMBER, rng.choice(TOKENS))


def _word(rng: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    words = _WORD.findall(data) or [b"x"]
    return _replaced(rng, data, _WORD, rng.choice((rng.choice(words), rng.choice(TOKENS))))


def _lines(rng: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    lines = data.splitlines(keepends=True)
    if len(lines) < 2:
        return data
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"".join(lines)


def _replaced(rng: random.Random, data: bytes, pattern: re.Pattern[bytes], by: bytes) -> bytes:
    found = list(pattern.finditer(data))
    if not found:
        return data + by
    one = rng.choice(found)
    return data[: one.start()] + by + data[one.end() :]


def _range(rng: random.Random, data: bytes) -> tuple[int, int]:
    start = rng.randint(0, len(data))
    return start, min(len(data), start + rng.choice((1, 2, 4, 16, 64, 256)))


_CHANGES: tuple[Callable[[random.Random, bytes, Sequence[bytes]], bytes], ...] = (
    _flip, _insert, _insert, _cut, _repeat, _splice, _truncate, _number, _number, _word, _word, _lines,
)  # fmt: skip
