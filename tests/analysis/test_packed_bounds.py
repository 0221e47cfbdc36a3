"""The bounds of histograms as one text: read as they were, whatever they are, and short where they are many."""

from __future__ import annotations

import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalmine.analysis.packed_bounds import pack_bounds, unpack_bounds
from coalmine.analysis.packing import as_text
from coalmine.errors import InputError
from tests.analysis.looks import micrometer

SECONDS = st.lists(st.floats(allow_nan=False), max_size=80)
NANOSECONDS = st.lists(st.integers(0, 10**15).map(lambda whole: whole / 1e9), max_size=80)
BOUNDS = (SECONDS | NANOSECONDS).map(lambda found: tuple(sorted(set(found))))


@given(st.dictionaries(st.text(max_size=8), BOUNDS, max_size=4))
def test_what_is_packed_is_read(bounds: dict[str, tuple[float, ...]]) -> None:
    text = pack_bounds(bounds)
    assert unpack_bounds(json.loads(json.dumps(text))) == bounds


def test_the_same_bounds_again_cost_next_to_nothing() -> None:
    bounds = tuple(round(0.001 * 1.17**number, 9) for number in range(68))
    one, three = (len(pack_bounds({f"latency-{number}": bounds for number in range(many)})) for many in (1, 3))
    assert one < 0.7 * len(json.dumps({"latency-0": bounds}))
    assert three < one + 60


def test_a_jvms_bounds_take_few_letters() -> None:
    bounds = micrometer()
    assert len(bounds) == 68
    assert bounds[:4] == (0.001, 0.001048576, 0.001398101, 0.001747626)
    assert len(pack_bounds({"latency": bounds})) <= 150


@pytest.mark.parametrize(
    ("bounds", "most"),
    [
        ([0.001 * 1.2**number for number in range(40)], 440),
        ([0.001 * 1.1**number for number in range(80)], 760),
        ([2.0 ** (number / 8 - 10) for number in range(100)], 250),
    ],
)
def test_bounds_that_grow_by_a_factor_are_kept_as_their_bits(bounds: list[float], most: int) -> None:
    assert len(pack_bounds({"latency": tuple(bounds)})) <= most


def test_bounds_in_seconds_alone_are_read_as_well() -> None:
    assert unpack_bounds(as_text(zlib.compress(b'{"latency":[0.005,1,2.5]}'))) == {"latency": (0.005, 1.0, 2.5)}


@pytest.mark.parametrize(
    "text",
    [
        None,
        5,
        "AAAAA",
        "no text",
        {"latency": [0.1]},
        as_text(zlib.compress(b"[1]")),
        as_text(zlib.compress(b'{"a":1}')),
        as_text(zlib.compress(b'{"a":{}}')),
        as_text(zlib.compress(b'{"a":{"ns":["1"]}}')),
        as_text(zlib.compress(b'{"a":"12"}')),
        as_text(zlib.compress(b'{"a":[NaN]}')),
        as_text(zlib.compress(b'{"a":[2,1]}')),
        as_text(zlib.compress(b'{"a":[1,1]}')),
        as_text(zlib.compress(b'{"a":{"bits":5}}')),
        as_text(zlib.compress(b'{"a":{"bits":"00000"}}')),
        as_text(zlib.compress(b"[" * 100_000)),
        as_text(zlib.compress(b'{"a":{"ns":[1' + b"0" * 400 + b"]}}")),
    ],
)
def test_damage_is_refused(text: object) -> None:
    with pytest.raises(InputError, match=r"^evidence\.state: its bounds cannot be read \("):
        unpack_bounds(text)
