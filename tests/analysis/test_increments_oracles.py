"""Normaliser and binomial against sums over every possible count."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp
from scipy.stats import binom, nchypergeom_fisher

from coalmine.analysis.increments import EXACT_SUPPORT, curve, log_normaliser, one_sample

RATIOS = np.array([1.0, 1 / 30, 0.3, 1.5, 5.0, 40.0, 440.0])


def summed(n_c: int, n_b: int, e: int) -> NDArray[Any]:
    """ln Z(r) - ln Z(1), term by term."""
    x = np.arange(max(0, e - n_b), min(n_c, e) + 1)
    terms = -(gammaln(x + 1) + gammaln(n_c - x + 1) + gammaln(e - x + 1) + gammaln(n_b - e + x + 1))
    z: NDArray[Any] = logsumexp(terms[:, None] + x[:, None] * np.log(RATIOS), axis=0)
    result: NDArray[Any] = z - z[0]
    return result


def ours(n_c: int, n_b: int, e: int) -> NDArray[Any]:
    z = log_normaliser(np.array([float(n_c)]), np.array([float(n_b)]), np.array([float(e)]), RATIOS)[0]
    assert z.shape == RATIOS.shape
    result: NDArray[Any] = z - z[0]
    return result


@pytest.mark.parametrize(
    ("n_c", "n_b", "e"),
    [
        (1, 1, 1),
        (20, 1980, 3),
        (63, 64, 64),
        (63, 5000, 900),
        (80, 80, 140),
        (5, 20, 22),
        (10_000, 63, 9_990),
        (9, 9, 17),
    ],
)
def test_up_to_64_points_the_normaliser_is_the_sum(n_c: int, n_b: int, e: int) -> None:
    assert min(n_c, e) - max(0, e - n_b) < EXACT_SUPPORT
    assert ours(n_c, n_b, e) == pytest.approx(summed(n_c, n_b, e), abs=1e-8)


@pytest.mark.parametrize(
    ("n_c", "n_b", "e", "error"),
    [
        (64, 64, 64, 2.5e-3),
        (70, 1000, 70, 1.5e-4),
        (70, 930, 300, 5e-6),
        (400, 600, 200, 5e-6),
        (66, 20_000, 10_000, 5e-6),
        (2000, 38_000, 90, 5e-6),
        (100, 5000, 80, 2e-5),
        (1000, 1000, 1000, 2e-5),
        (5000, 5000, 3000, 5e-6),
    ],
)
def test_beyond_the_saddlepoint_is_nearly_the_sum(n_c: int, n_b: int, e: int, error: float) -> None:
    assert min(n_c, e) - max(0, e - n_b) >= EXACT_SUPPORT
    assert ours(n_c, n_b, e) == pytest.approx(summed(n_c, n_b, e), abs=error)


@pytest.mark.parametrize(("n_c", "n_b", "error"), [(64, 64, 0.03), (300, 300, 1e-3), (64, 6400, 2e-4)])
def test_the_steepest_ratio_ever_used_is_still_near(n_c: int, n_b: int, error: float) -> None:
    """A margin of 10 times the last ratio: almost all events are surely the canary's, and little is left open."""
    far = np.array([1.0, 4000.0])
    z = log_normaliser(np.array([float(n_c)]), np.array([float(n_b)]), np.array([float(n_c)]), far)[0]
    x = np.arange(n_c + 1)
    terms = -(gammaln(x + 1) + 2 * gammaln(n_c - x + 1) + gammaln(n_b - n_c + x + 1))
    exact = logsumexp(terms[:, None] + x[:, None] * np.log(far), axis=0)
    assert z[1] - z[0] == pytest.approx(exact[1] - exact[0], abs=error)


def test_exact_and_approximate_windows_share_a_batch() -> None:
    n_c, n_b, e = (
        np.array([[20.0, 400.0], [0.0, 70.0]]),
        np.array([[90.0, 600.0], [9.0, 930.0]]),
        np.array([[7.0, 200.0], [3.0, 300.0]]),
    )
    batch = log_normaliser(n_c, n_b, e, RATIOS)
    assert batch.shape == (2, 2, RATIOS.size)
    for place in np.ndindex(2, 2):
        alone = log_normaliser(n_c[place], n_b[place], e[place], RATIOS)
        assert alone.shape == RATIOS.shape
        assert batch[place] == pytest.approx(alone)
    assert (batch[1, 0] == 0.0).all()


def test_shapes_are_broadcast() -> None:
    sizes = {"canary": 20.0, "baseline": 90.0, "events": 7.0}
    alone = log_normaliser(np.array(20.0), np.array(90.0), np.array(7.0), RATIOS)
    for wide in sizes:
        one, two, three = (np.full(3, value) if name == wide else np.array(value) for name, value in sizes.items())
        assert log_normaliser(one, two, three, RATIOS) == pytest.approx(np.stack([alone] * 3)), wide


@pytest.mark.parametrize(("n_c", "n_b", "e"), [(0, 5, 3), (5, 0, 3), (5, 5, 0), (5, 5, 10)])
def test_what_is_certain_has_no_normaliser(n_c: int, n_b: int, e: int) -> None:
    at = log_normaliser(np.array([float(n_c)]), np.array([float(n_b)]), np.array([float(e)]), RATIOS)
    assert (at == 0.0).all()


def test_the_curve_is_scipys_for_all_ratios() -> None:
    x = np.arange(10)
    at = curve(x, np.full(10, 30), 9 - x, np.full(10, 70), RATIOS)
    for index, ratio in enumerate(RATIOS):
        scipys = nchypergeom_fisher.logpmf(x, 100, 30, 9, ratio) - nchypergeom_fisher.logpmf(x, 100, 30, 9, 1.0)
        assert at[:, index] - at[:, 0] == pytest.approx(scipys, abs=1e-6)


@pytest.mark.parametrize("share", [0.0005, 0.005, 0.5, 0.9])
def test_one_sample_is_the_binomials_likelihood_ratio(share: float) -> None:
    ratios = np.array([0.2, 1.0, 1.5, 30.0])
    x, n = np.array([0, 3, 40]), np.array([50, 50, 40])
    odds = share / (1 - share) * ratios
    expected = binom.logpmf(x[:, None], n[:, None], odds / (1 + odds)) - binom.logpmf(x, n, share)[:, None]
    assert one_sample(x, n, share, ratios) == pytest.approx(expected)
    assert (one_sample(np.array(0), np.array(0), share, ratios) == 0.0).all()
