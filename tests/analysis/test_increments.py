"""The conditional likelihood: exact against brute force and scipy, and no bet where a window says nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln, logsumexp
from scipy.stats import nchypergeom_fisher

from coalmine.analysis.grids import CURVE_RATIOS, FLOOR_RATIOS, HARM_RATIOS, NO_HARM_RATIOS
from coalmine.analysis.increments import curve, one_sample

RATIOS = np.array([1 / 30, 0.3, 1.0, 1.1, 1.5, 5.0, 40.0, 440.0])


def of_one(
    x_c: ArrayLike, n_c: ArrayLike, x_b: ArrayLike, n_b: ArrayLike, ratios: NDArray[Any] = RATIOS
) -> NDArray[Any]:
    return curve(np.array(x_c), np.array(n_c), np.array(x_b), np.array(n_b), ratios)


def support(n_c: int, n_b: int, e: int) -> NDArray[Any]:
    return np.arange(max(0, e - n_b), min(n_c, e) + 1)


def exact_log_terms(n_c: int, n_b: int, e: int) -> NDArray[Any]:
    x = support(n_c, n_b, e)
    terms: NDArray[Any] = -(gammaln(x + 1) + gammaln(n_c - x + 1) + gammaln(e - x + 1) + gammaln(n_b - e + x + 1))
    return terms


def expected_e_value(n_c: int, n_b: int, e: int, null: float, ratios: NDArray[Any]) -> NDArray[Any]:
    """Mean of each e-value over all canary events that are possible, when the odds ratio is ``null``."""
    x = support(n_c, n_b, e)
    at = curve(x, np.full(x.size, n_c), e - x, np.full(x.size, n_b), np.append(ratios, null))
    weight = exact_log_terms(n_c, n_b, e) + x * np.log(null)
    weight -= logsumexp(weight)
    mean: NDArray[Any] = np.exp(logsumexp(weight[:, None] + at[:, :-1] - at[:, -1:], axis=0))
    return mean


@pytest.mark.parametrize(
    ("n_c", "n_b", "e"), [(1, 1, 1), (20, 1980, 3), (100, 1900, 12), (1000, 1000, 63), (5, 20, 7), (30, 30, 58)]
)
@pytest.mark.parametrize("null", [1.0, 1.1, 2.0])
def test_e_values_average_to_one_under_the_null(n_c: int, n_b: int, e: int, null: float) -> None:
    assert expected_e_value(n_c, n_b, e, null, null * HARM_RATIOS) == pytest.approx(1.0, abs=1e-9)
    assert expected_e_value(n_c, n_b, e, null, null * NO_HARM_RATIOS) == pytest.approx(1.0, abs=1e-9)


@given(st.integers(1, 60), st.integers(1, 60), st.data())
@settings(max_examples=60, deadline=None)
def test_any_small_table_is_exact(n_c: int, n_b: int, data: st.DataObject) -> None:
    e = data.draw(st.integers(1, n_c + n_b - 1))
    assert expected_e_value(n_c, n_b, e, 1.1, 1.1 * HARM_RATIOS) == pytest.approx(1.0, abs=1e-8)


@pytest.mark.parametrize(("n_c", "n_b", "e"), [(12, 40, 9), (100, 1900, 12), (400, 600, 50)])
def test_it_is_fishers_noncentral_hypergeometric(n_c: int, n_b: int, e: int) -> None:
    x = support(n_c, n_b, e)
    ours = curve(x, np.full(x.size, n_c), e - x, np.full(x.size, n_b), np.array([3.0, 1.0]))
    scipys = [nchypergeom_fisher.logpmf(x, n_c + n_b, n_c, e, ratio) for ratio in (3.0, 1.0)]
    assert ours[:, 0] - ours[:, 1] == pytest.approx(scipys[0] - scipys[1], abs=1e-6)


@pytest.mark.parametrize(
    ("n_c", "n_b", "e"),
    [(70, 930, 300), (64, 64, 64), (1000, 1000, 64), (100, 1900, 1000), (2000, 38_000, 90), (66, 20_000, 10_000)],
)
def test_the_saddlepoint_is_as_good_beyond_the_exact_sum(n_c: int, n_b: int, e: int) -> None:
    mean = expected_e_value(n_c, n_b, e, 1.1, 1.1 * HARM_RATIOS)
    assert mean == pytest.approx(1.0, abs=0.03)
    assert expected_e_value(n_c, n_b, e, 1.5, 1.5 * NO_HARM_RATIOS) == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize(
    ("x_c", "n_c", "x_b", "n_b"),
    [(0, 10, 0, 90), (10, 10, 90, 90), (3, 10, 0, 0), (0, 0, 5, 90), (0, 0, 0, 0)],
)
def test_a_window_that_says_nothing_is_no_bet(x_c: int, n_c: int, x_b: int, n_b: int) -> None:
    at = of_one(x_c, n_c, x_b, n_b)
    assert (at == 0.0).all()


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 400), st.integers(0, 400))
@settings(max_examples=60, deadline=None)
def test_swapping_the_arms_turns_the_ratio_round(x_c: int, x_b: int, more_c: int, more_b: int) -> None:
    n_c, n_b = x_c + more_c, x_b + more_b
    ours = of_one(x_c, n_c, x_b, n_b)
    swapped = of_one(x_b, n_b, x_c, n_c, 1.0 / RATIOS)
    assert ours - ours[2] == pytest.approx(swapped - swapped[2], abs=1e-6, rel=1e-6)


def test_windows_add_up_for_the_binomial_and_nearly_for_two_arms() -> None:
    whole, half = (of_one(x, n, y, m, CURVE_RATIOS) for x, n, y, m in ((40, 4000, 44, 8000), (20, 2000, 22, 4000)))
    centred = [values - values.max() for values in (whole, 2 * half)]
    near = centred[0] > -20
    # Splitting a window conditions on one total more: a little information is lost, never gained.
    assert centred[1][near] == pytest.approx(centred[0][near], abs=0.6, rel=0.05)
    parts = one_sample(np.array([3, 4]), np.array([100, 300]), 0.005, FLOOR_RATIOS)
    assert parts.sum(axis=0) == pytest.approx(one_sample(np.array(7), np.array(400), 0.005, FLOOR_RATIOS))


def test_one_sample_e_values_average_to_one_at_the_null_and_less_below() -> None:
    n = 40
    x = np.arange(n + 1)
    binomial = gammaln(n + 1) - gammaln(x + 1) - gammaln(n - x + 1)
    for share, most in ((0.05, 1.0), (0.02, 1.0)):
        weight = binomial + x * np.log(share) + (n - x) * np.log1p(-share)
        mean = np.exp(logsumexp(weight[:, None] + one_sample(x, np.full(n + 1, n), 0.05, FLOOR_RATIOS), axis=0))
        assert (mean <= most + 1e-9).all()
        if share == 0.05:
            assert mean == pytest.approx(1.0)


def test_huge_counts_stay_finite() -> None:
    big = 10**9
    for x_c, x_b in ((5, 5), (10**8, 10**8), (big - 1, big), (big, 0), (0, big), (3, big)):
        at = of_one(x_c, big, x_b, big, np.append(RATIOS, 4000.0))
        assert np.isfinite(at).all(), (x_c, x_b)


def test_leading_axes_are_a_batch() -> None:
    rng = np.random.default_rng(5)
    n_c, n_b = rng.integers(0, 3000, (4, 3)), rng.integers(0, 3000, (4, 3))
    x_c, x_b = rng.binomial(n_c, 0.02), rng.binomial(n_b, 0.02)
    batch = curve(x_c, n_c, x_b, n_b, RATIOS)
    for place in np.ndindex(4, 3):
        alone = of_one(x_c[place], n_c[place], x_b[place], n_b[place])
        assert batch[place] == pytest.approx(alone, abs=1e-9)
