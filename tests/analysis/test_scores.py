"""Rank scores: mean zero, rising, and e-values that average to one when the arms are alike."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_hypergeom

from coalmine.analysis.grids import TILTS
from coalmine.analysis.scores import bucket_scores, tilt_increments

POOLED = np.array([5, 30, 100, 400, 800, 500, 150, 15])


def test_e_values_average_to_one_over_all_small_tables() -> None:
    pooled, canary = np.array([16, 24, 12]), 20
    tables = np.array(
        [(a, b, canary - a - b) for a in range(17) for b in range(25) if 0 <= canary - a - b <= pooled[2]]
    )
    weight = multivariate_hypergeom.pmf(tables, pooled, canary)
    increments, _, _ = tilt_increments(tables, np.broadcast_to(pooled, tables.shape), bucket_scores(pooled), TILTS)
    mean = (weight[:, None, None] * np.exp(increments)).sum(axis=0)
    assert weight.sum() == pytest.approx(1.0)
    assert (mean < 1.06).all()
    assert mean[:, TILTS < 0.6] == pytest.approx(1.0, abs=0.02)


def test_scores_rise_and_average_to_zero() -> None:
    scores = bucket_scores(POOLED)
    assert (np.diff(scores, axis=-1) > 0).all()
    assert (scores * POOLED).sum(axis=-1) / POOLED.sum() == pytest.approx(0.0, abs=2e-3)


@pytest.mark.parametrize("canary", [20, 100, 1000])
def test_e_values_average_to_one_when_the_arms_are_alike(canary: int) -> None:
    rng = np.random.default_rng(7)
    x = rng.multivariate_hypergeometric(POOLED, canary, size=6000)
    # Larger tilts pay so much so rarely that no sample of this size meets them.
    tilts = TILTS[TILTS**2 * canary * (1 - canary / POOLED.sum()) < 1.5]
    increments, score, variance = tilt_increments(x, np.broadcast_to(POOLED, x.shape), bucket_scores(POOLED), tilts)
    mean, error = np.exp(increments).mean(axis=0), np.exp(increments).std(axis=0) / np.sqrt(len(x))
    assert (np.abs(mean - 1.0) < 0.03 + 4 * error).all()
    assert score.var(axis=0) / variance.mean(axis=0) == pytest.approx(1.0, abs=0.08)


@pytest.mark.parametrize(
    ("canary", "pooled"),
    [([0, 0, 0], [5, 3, 1]), ([5, 3, 1], [5, 3, 1]), ([0, 0, 0], [0, 0, 0]), ([4, 0, 0], [9, 0, 0])],
)
def test_nothing_to_compare_is_no_bet(canary: list[int], pooled: list[int]) -> None:
    increments, score, variance = tilt_increments(
        np.array(canary), np.array(pooled), bucket_scores(np.array(pooled)), TILTS
    )
    assert increments == pytest.approx(0.0, abs=1e-6)
    assert score == pytest.approx(0.0, abs=1e-6)
    assert variance == pytest.approx(0.0, abs=1e-3)


def test_one_bucket_and_huge_counts_stay_finite() -> None:
    for canary, pooled in (([7], [20]), ([10**9, 10**9, 1], [2 * 10**9, 2 * 10**9, 10**9])):
        for values in tilt_increments(np.array(canary), np.array(pooled), bucket_scores(np.array(pooled)), TILTS):
            assert np.isfinite(values).all()


def test_a_slower_canary_gains_and_a_faster_one_loses() -> None:
    slower, faster = np.array([0, 2, 5, 30, 70, 60, 25, 8]), np.array([4, 20, 40, 70, 50, 14, 2, 0])
    scores = bucket_scores(POOLED)
    gains, _, _ = tilt_increments(slower, POOLED, scores, TILTS[:8])
    losses, _, _ = tilt_increments(faster, POOLED, scores, TILTS[:8])
    assert (gains[..., 4] > 1).all()
    assert (losses < 0).all()
