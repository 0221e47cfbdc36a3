"""Kayenta's rule against SciPy's rank test inverted by hand, and against the published constants."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from benchmarks.judge.rivals import kayenta
from benchmarks.judge.rivals.shared import NEVER
from benchmarks.judge.traffic import BOUNDS, Counts, Traffic

POINTS = st.integers(0, 2**32 - 1)


def p_value(experiment: np.ndarray, control: np.ndarray, shift: float) -> float:
    """One-sided, continuity-corrected and tie-corrected, of "the experiment is more than ``shift`` above"."""
    return float(mannwhitneyu(experiment - shift, control, alternative="greater", method="asymptotic").pvalue)


@given(POINTS, st.integers(6, 20), st.integers(6, 20), st.floats(-1.0, 3.0))
@settings(max_examples=60, deadline=None)
def test_the_lower_end_is_where_the_rank_test_stops_rejecting(seed: int, m: int, n: int, moved: float) -> None:
    rng = np.random.default_rng(seed)
    experiment, control = rng.normal(moved, 1.0, m), rng.normal(0.0, 1.0, n)
    lower = kayenta.shift(experiment[None], control[None])[0][0]
    step = 1e-7
    level = (1.0 - kayenta.CONFIDENCE) / 2.0
    assert p_value(experiment, control, lower - step) <= level + 1e-12
    assert p_value(experiment, control, lower + step) > level


@given(POINTS)
@settings(max_examples=30, deadline=None)
def test_ties_within_an_arm_narrow_the_deviation_as_in_the_rank_test(seed: int) -> None:
    rng = np.random.default_rng(seed)
    experiment, control = rng.poisson(2.0, 12) + 0.25, rng.poisson(1.0, 15).astype(float)
    lower = kayenta.shift(experiment[None], control[None])[0][0]
    level = (1.0 - kayenta.CONFIDENCE) / 2.0
    assert p_value(experiment, control, lower - 1e-6) <= level + 1e-12
    assert p_value(experiment, control, lower + 1e-6) > level


def test_the_estimate_is_the_median_of_all_differences() -> None:
    rng = np.random.default_rng(4)
    experiment, control = rng.normal(size=(3, 7)), rng.normal(size=(3, 6))
    expected = [np.median(np.subtract.outer(a, b)) for a, b in zip(experiment, control, strict=True)]
    assert kayenta.shift(experiment, control)[1] == pytest.approx(expected)


def test_two_points_each_completely_apart_are_high() -> None:
    """With so few points the interval ends at the smallest difference: plain separation is enough."""
    assert kayenta.high(np.array([[3.0, 4.0]]), np.array([[1.0, 2.0]]))[0]


def test_missing_points_are_left_out_and_no_points_at_all_fail() -> None:
    rng = np.random.default_rng(1)
    experiment, control = rng.normal(size=(1, 9)), rng.normal(size=(1, 9))
    gaps = np.concatenate([experiment, np.full((1, 3), np.nan)], axis=1)
    np.testing.assert_allclose(kayenta.shift(gaps, control), kayenta.shift(experiment, control))
    assert kayenta.high(np.full((1, 5), np.nan), control[:, :5])[0]


def test_a_tie_corrected_deviation_by_hand() -> None:
    """Arms of 1 1 2 and 3 3 3: two groups of ties, 2^3 - 2 and 3^3 - 3."""
    assert kayenta._ties(np.array([[1.0, 1.0, 2.0], [3.0, 3.0, 3.0]])).tolist() == [6, 24]


def test_identical_arms_pass_and_a_tenfold_rate_fails_at_the_first_judgement() -> None:
    minutes = 10

    def arm(errors: int) -> Counts:
        size = (2, minutes * 6)
        wobble = np.tile(np.arange(minutes * 6) % 7, (2, 1))
        buckets = np.zeros((*size, len(BOUNDS) + 1), int)
        buckets[..., 4] = 1000
        return Counts(np.full(size, 1000), errors + wobble, buckets, np.ones(size, bool))

    assert kayenta.first_rollback(Traffic(arm(5), arm(5), 0.5)).tolist() == [NEVER, NEVER]
    assert kayenta.first_rollback(Traffic(arm(50), arm(5), 0.5)).tolist() == [30, 30]
