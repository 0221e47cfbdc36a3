"""Evidence on paper, step by step."""

from __future__ import annotations

import base64
import math
import zlib
from dataclasses import dataclass, replace

import numpy as np
import pytest

from coalmine.analysis.state import CAPITAL, CURVE, CUT_CURVE, Steps, decode, encode, opened, sealed, settled
from coalmine.analysis.trees import Capital, Count, Curve, Index, Sum
from coalmine.errors import InputError
from coalmine.records import Evidence


@dataclass(frozen=True)
class Part:
    capital: Capital
    total: Sum
    at: Index


@dataclass(frozen=True)
class Whole:
    curve: Curve
    seen: Count
    parts: tuple[Part, ...]


def part(start: float) -> Part:
    return Part(np.array([[start, -np.inf], [-1.5, 0.0]]), np.array([1.0, 2.5, start]), np.array([3, -1]))


def whole(start: float) -> Whole:
    return Whole(np.array([0.0, -3.25, -900.0, start]), np.array([7.0, 10.0**12]), (part(start), part(2 * start)))


def test_steps_are_floored_after_the_offset() -> None:
    steps = Steps(per_nat=4, lowest=-10.0, below=-np.inf)
    values = np.array([-np.inf, -11.0, -10.0, -9.9, -9.76, -9.75, 0.0, 1e9])
    assert steps.write(values, 0.0).tolist() == [0, 0, 0, 0, 0, 1, 40, 65535]
    assert steps.write(values, 0.5).tolist() == [0, 0, 0, 0, 1, 1, 40, 65535]
    assert steps.write(values, 0.99).tolist() == [0, 0, 0, 1, 1, 1, 40, 65535]
    assert steps.write(values, 0.5).dtype == np.dtype("<u2")
    assert steps.read(np.array([0, 1, 40, 65535])).tolist() == [-np.inf, -9.75, 0.0, -10 + 65535 / 4]


def test_the_steps_of_capital_and_of_curves() -> None:
    assert (CAPITAL.per_nat, CAPITAL.lowest, CAPITAL.below) == (64, -30.0, -np.inf)
    assert CURVE.per_root == 64
    assert (CUT_CURVE.per_nat, CUT_CURVE.lowest, CUT_CURVE.below) == (32, -2047.0, -2047.0)


def test_what_is_written_is_read() -> None:
    written = encode(whole(-0.5), 3)
    assert set(written) == {"capital", "curve", "sums", "counts"}
    assert written["counts"] == [7, 10**12, 3, -1, 3, -1]
    read = decode(whole(0.0), written)
    assert read.seen.tolist() == [7.0, 10.0**12]
    assert np.sqrt(-read.curve) == pytest.approx(np.sqrt([0.0, 3.25, 900.0, 0.5]), abs=1 / 64)
    for one, start in zip(read.parts, (-0.5, -1.0), strict=True):
        assert one.capital.shape == (2, 2)
        assert one.capital[0, 1] == -np.inf
        assert one.capital[[0, 1, 1], [0, 0, 1]] == pytest.approx([start, -1.5, 0.0], abs=1 / 64)
        assert one.total.tolist() == [1.0, 2.5, start]
        assert one.at.tolist() == [3, -1]
        assert one.at.dtype == np.int64


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("counted", "kept"), [(2.0**53 * 1025, 2.0**63 - 1024), (-(2.0**64), 1024 - 2.0**63)])
def test_running_counts_stop_at_what_64_bits_hold(counted: float, kept: float) -> None:
    beyond = replace(whole(1.0), seen=np.array([7.0, counted]))
    assert decode(whole(0.0), encode(beyond, 3)).seen.tolist() == [7.0, kept]
    assert settled(beyond, 3).seen.tolist() == [7.0, kept]


def test_the_offset_walks_through_the_golden_ratio() -> None:
    golden = (math.sqrt(5) - 1) / 2
    # A value 0.7 of a step above a step is rounded up when the offset is at least 0.3.
    state = Part(np.array([-29.0 + 0.7 / 64]), np.zeros(0), np.zeros(0, np.int64))
    for look in range(1, 12):
        read = decode(state, encode(state, look)).capital[0]
        up = (look * golden) % 1.0 >= 0.3
        assert read == -29.0 + (1 / 64 if up else 0.0), look


def test_the_bytes_are_those_of_the_format() -> None:
    """Deltas of 16-bit steps, low bytes before high ones, deflated: what a worker of another machine must read."""
    state = Part(np.array([-29.0, -28.0, -30.0]), np.array([1.0, -2.0]), np.zeros(0, np.int64))
    written = encode(state, 0)
    steps = [64, 128, 0]
    deltas = [(after - before) % 65536 for before, after in zip([0, *steps], steps, strict=False)]
    planes = bytes([one % 256 for one in deltas] + [one // 256 for one in deltas])
    assert zlib.decompress(base64.b64decode(written["capital"])) == planes
    floats = np.array([1.0, -2.0], "<f4").tobytes()
    assert zlib.decompress(base64.b64decode(written["sums"])) == bytes(
        floats[byte + 4 * place] for byte in range(4) for place in range(2)
    )
    assert base64.b64encode(zlib.compress(planes, 4)).decode() == written["capital"]
    assert written["curve"] == ""


@pytest.mark.parametrize(
    "damage",
    [
        {"capital": None},
        {"capital": "AAA"},
        {"sums": base64.b64encode(zlib.compress(b"123")).decode()},
        {"curve": base64.b64encode(b"123").decode()},
        {"counts": ["x"]},
        {"counts": [1, 2]},
    ],
)
def test_damage_is_refused(damage: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"^evidence\.state: "):
        decode(whole(0.0), encode(whole(0.0), 1) | damage)
    for name in ("capital", "curve", "sums", "counts"):
        rest = {key: value for key, value in encode(whole(0.0), 1).items() if key != name}
        with pytest.raises(InputError, match=rf"^evidence\.state: cannot be read \('{name}'\)"):
            decode(whole(0.0), rest)


def test_a_state_of_another_shape_is_refused() -> None:
    for other in (part(0.0), Whole(np.zeros(4), np.zeros(2), (part(0.0),)), whole(0.0)):
        written = encode(other, 1)
        if isinstance(other, Whole) and len(other.parts) == 2:
            assert decode(whole(0.0), written).seen.tolist() == [7.0, 10.0**12]
        else:
            with pytest.raises(InputError, match="was written for other metrics"):
                decode(whole(0.0), written)


def test_evidence_says_what_wrote_it() -> None:
    evidence = sealed("bake", 4, 17, {"counts": [1]})
    assert evidence == Evidence(looks=17, state={"stage": "bake", "version": 4, "looks": 17, "counts": [1]})
    assert opened(evidence, "bake", 4) == evidence.state
    assert opened(None, "bake", 4) == {}
    assert opened(Evidence(), "bake", 4) == {}
    with pytest.raises(InputError, match=r"^evidence: is of the stage 'bake', not 'compare': "):
        opened(evidence, "compare", 4)
    with pytest.raises(InputError, match=r"^evidence: is of version 4, not 5: use the worker that wrote it$"):
        opened(evidence, "bake", 5)
    with pytest.raises(InputError, match=r"^evidence: is of the stage None, not 'bake': "):
        opened(Evidence(looks=1, state={"looks": 1}), "bake", 4)
