"""Rank scores against integrals of their score functions, and tilts against sums over all tables."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.special import logsumexp
from scipy.stats import multivariate_hypergeom, norm

from coalmine.analysis.grids import TILTS
from coalmine.analysis.scores import bucket_scores, tilt_increments


def mean_over_ranks(counts: list[int], function: Any) -> list[float]:
    """The mean of a score function over the ranks each bucket holds."""
    edges = np.concatenate([[0.0], np.cumsum(counts) / np.sum(counts)])
    return [quad(function, a, b)[0] / (b - a) for a, b in pairwise(edges)]


@pytest.mark.parametrize("counts", [[50, 30, 20], [5, 30, 100, 400, 300, 100, 50, 15], [1, 1], [999, 1]])
def test_scores_are_means_over_the_buckets_ranks(counts: list[int]) -> None:
    normal, savage = bucket_scores(np.array(counts) * 1000)
    assert normal.tolist() == pytest.approx(mean_over_ranks(counts, norm.ppf), abs=2e-4)
    assert savage.tolist() == pytest.approx(mean_over_ranks(counts, lambda u: -np.log1p(-u) - 1.0), abs=2e-4)


def test_empty_buckets_have_the_score_of_their_rank_and_the_tail_is_bounded() -> None:
    normal, savage = bucket_scores(np.array([60, 0, 40, 0]))
    assert normal[1] == pytest.approx(norm.ppf(0.6), abs=1e-3)
    assert savage[1] == pytest.approx(-np.log(0.4) - 1.0, abs=1e-3)
    assert savage[3] == pytest.approx(-np.log(1e-3 / 100) + 1.0 - 1.0, rel=0.01)
    _, far = bucket_scores(np.array([10**9, 0]))
    assert far[1] == 12.0
    nothing = bucket_scores(np.zeros(3))
    assert nothing.shape == (2, 3)
    assert nothing[0].tolist() == pytest.approx(mean_over_ranks([1, 1, 1], norm.ppf), abs=1e-6)


def test_one_bucket_has_no_score_and_batches_are_read_run_by_run() -> None:
    assert bucket_scores(np.array([7])) == pytest.approx(np.zeros((2, 1)), abs=1e-9)
    pooled = np.array([[5, 9, 2], [100, 1, 40]])
    assert bucket_scores(pooled).shape == (2, 2, 3)
    assert bucket_scores(pooled)[1] == pytest.approx(bucket_scores(pooled[1]))


def all_tables(pooled: NDArray[Any], canary: int) -> NDArray[Any]:
    a, b, c = pooled
    return np.array([(i, j, canary - i - j) for i in range(a + 1) for j in range(b + 1) if 0 <= canary - i - j <= c])


@pytest.mark.parametrize(("pooled", "canary"), [((16, 24, 12), 20), ((60, 30, 10), 12)])
def test_tilts_are_the_likelihood_ratio_over_all_tables(pooled: tuple[int, ...], canary: int) -> None:
    total = np.array(pooled)
    tables = all_tables(total, canary)
    scores = bucket_scores(total)
    increments, t, v = tilt_increments(tables, np.broadcast_to(total, tables.shape), scores, TILTS)
    centred = scores - (scores * total).sum(axis=-1, keepdims=True) / total.sum()
    sums = tables @ centred.T
    assert t == pytest.approx(sums)
    share = canary / total.sum()
    expected = (total * centred**2).sum(axis=-1) * share * (1 - share)
    assert v == pytest.approx(np.broadcast_to(expected, v.shape))
    weight = multivariate_hypergeom.logpmf(tables, total, canary)
    normaliser = logsumexp(weight[:, None, None] + TILTS * sums[..., None], axis=0)
    error = np.abs(increments - (TILTS * sums[..., None] - normaliser)).max(axis=(0, 1))
    assert (error < 8e-3 * TILTS**1.5).all()
    assert (error < 0.015).all()


def test_the_solution_does_not_depend_on_the_scores_origin() -> None:
    canary, pooled = np.array([3, 8, 30, 9]), np.array([30, 60, 100, 20])
    scores = bucket_scores(pooled)
    for moved, first in zip(
        tilt_increments(canary, pooled, scores + 4.0, TILTS),
        tilt_increments(canary, pooled, scores, TILTS),
        strict=True,
    ):
        assert moved == pytest.approx(first)


def test_a_batch_is_solved_as_its_windows_alone() -> None:
    rng = np.random.default_rng(3)
    pooled = np.array([[400, 300, 200, 100], [9, 3, 1, 2], [5, 5, 5, 5], [0, 0, 0, 0]])
    canary = np.stack([rng.multivariate_hypergeometric(row, int(row.sum() * 0.3)) for row in pooled])
    canary[2] = 0
    scores = bucket_scores(np.array([500, 300, 150, 50]))
    batch = tilt_increments(canary, pooled, scores, TILTS)
    assert [part.shape for part in batch] == [(4, 2, 14), (4, 2), (4, 2)]
    for row in range(4):
        for part, alone in zip(batch, tilt_increments(canary[row], pooled[row], scores, TILTS), strict=True):
            assert part[row] == pytest.approx(alone, abs=1e-9)
    assert (batch[0][2:] == 0.0).all()
    assert (batch[1][2:] == 0.0).all()
    assert (batch[2][2:] == 0.0).all()


def test_a_steep_tilt_of_a_lopsided_table_is_still_solved() -> None:
    """Many steps are needed here: the canary has nearly all of the requests, and the tilt is the steepest."""
    pooled, tilts = np.array([900, 90, 10]), np.array([3.0])
    scores = bucket_scores(pooled)
    centred = scores - (scores * pooled).sum(axis=-1, keepdims=True) / pooled.sum()
    for canary_total in (20, 500, 980):
        tables = all_tables(pooled, canary_total)
        weight = multivariate_hypergeom.logpmf(tables, pooled, canary_total)
        z = logsumexp(weight[:, None] + 3.0 * (tables @ centred.T), axis=0)
        increments, t, _ = tilt_increments(tables[:1], pooled[None, :], scores, tilts)
        assert 3.0 * t[0] - increments[0, :, 0] == pytest.approx(z, abs=0.03)
