"""Sums that stand in a state twice: found, left out, and put back to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalmine.analysis.dispersion import Dispersion
from coalmine.analysis.grids import Numeric
from coalmine.analysis.packing import pack
from coalmine.analysis.repeats import distances, restored
from coalmine.analysis.state import Rounded
from coalmine.errors import InputError


def floats(*values: float) -> Numeric:
    return np.array(values, "<f4")


@given(st.lists(st.sampled_from([0.0, -0.0, 1.5, 2.0, float("nan"), float("inf"), 1e-40]), max_size=120))
def test_all_bits_are_put_back(values: list[float]) -> None:
    sums = floats(*values)
    back = distances(sums)
    assert restored(sums[back == 0], back).tobytes() == sums.tobytes()


def test_what_two_channels_have_alike_is_written_once() -> None:
    """Channels of one metric: looks, blocks and what fills a block; V and V times V where they are the unit's too."""
    noise = Dispersion.start((2,))
    for look in range(9):
        t, v = np.array([0.5 + look, 2.0 - look]), np.array([3.0 + look, 7.0 - 0.1 * look])
        noise = noise.add(t, v, v, 6, np.ones(2, bool))
    sums = noise.sums.astype("<f4").reshape(-1)
    back = distances(sums)
    named = ("looks", "filled", "blocks")
    at = {"looks": 0, "v": 2, "vv": 5, "filled": 11, "blocks": 14, "unit": 20, "unit2": 21}
    assert noise.sums.shape == (2, 22)
    assert [back[22 + at[name]] for name in named] == [22, 22, 22]
    assert [back[row + at[name]] for row in (0, 22) for name in ("unit", "unit2")] == [18, 16, 18, 16]
    assert [back[at[name]] for name in (*named, "v", "vv")] == [0] * 5
    assert back[22 + at["v"]] == 0


def test_zeros_of_either_sign_are_not_the_same() -> None:
    assert distances(floats(0.0, *range(1, 22), -0.0)).tolist() == [0] * 23
    assert distances(floats(0.0, *range(1, 22), 0.0)).tolist() == [0] * 22 + [22]


def test_one_of_one_of_one_is_put_back() -> None:
    assert restored(floats(*range(22)), np.array([0] * 22 + [22] * 50, np.uint8)).tolist() == [
        place % 22 for place in range(72)
    ]


def test_distances_to_before_the_first_are_refused() -> None:
    with pytest.raises(InputError, match=r"^evidence\.state: cannot be read \(sums from before the first\)"):
        restored(floats(1.0), np.array([0, 16], np.uint8))


def test_a_state_of_many_channels_is_shorter_for_it() -> None:
    noise = Dispersion(np.tile(np.random.default_rng(1).normal(size=22) * 1e4, (4, 1)), np.zeros((4, 4)))
    other = Dispersion(np.random.default_rng(1).normal(size=(4, 22)) * 1e4, np.zeros((4, 4)))
    assert len(pack(Rounded.of(noise, 1))) < 0.4 * len(pack(Rounded.of(other, 1)))
