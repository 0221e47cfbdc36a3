"""The start-time mixture against its own sum: what was invested at each look, times what it earned since."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp

from coalmine.analysis import mixture
from coalmine.analysis.grids import PHI_LADDER


@pytest.mark.parametrize(
    ("spent", "look", "planned", "new_step", "extension", "weight"),
    [
        (0.0, 1, 100, False, False, 0.75),
        (0.2, 1, 100, True, True, 0.6),
        (0.8, 7, 100, True, False, 0.1),
        (0.8, 7, 100, True, True, 0.1),
        # 94 looks are left of the plan, and cash for 25 more is kept.
        (0.75, 7, 100, False, False, 0.25 / 119),
        (0.75, 100, 100, False, False, 0.25 / 26),
        (0.75, 130, 100, False, False, 0.25 / 26),
        # A short plan keeps cash for one look at least.
        (0.75, 2, 2, False, False, 0.125),
        (0.75, 2, 100, False, True, 0.25 / 101),
        (0.75, 130, 1, False, True, 0.125),
        (1.0, 2, 10, False, False, 0.0),
        (1.5, 2, 10, True, False, 0.0),
    ],
)
def test_what_a_look_invests(
    spent: float, look: int, planned: int, new_step: bool, extension: bool, weight: float
) -> None:
    assert mixture.invest(spent, look, planned, new_step=new_step, extension=extension) == pytest.approx(weight)


def test_evidence_is_the_sum_over_all_starts_and_alternatives() -> None:
    rng = np.random.default_rng(1)
    looks, alternatives, cap = 5, 3, 1.5
    weights, increments = rng.uniform(0.02, 0.2, looks), 3.0 * rng.standard_normal((looks, 2, alternatives))
    log_prior = np.log([0.5, 0.3, 0.2])
    capital = mixture.empty((2,), alternatives)
    for weight, increment in zip(weights, increments, strict=True):
        capital = mixture.fold(capital, float(np.log(weight)), increment, cap)
    unspent = 1.0 - weights.sum()
    for rung, phi in enumerate(PHI_LADDER):
        earned = np.minimum(increments / phi, cap)
        total = np.array([unspent, unspent])
        for start in range(looks):
            total += weights[start] * (np.exp(log_prior) * np.exp(earned[start:].sum(axis=0))).sum(axis=-1)
        found = mixture.log_evidence(capital, log_prior, np.full(2, rung), unspent)
        assert found == pytest.approx(np.log(total)), phi


def test_each_run_is_read_at_its_own_rung() -> None:
    capital = np.arange(2 * 7 * 2, dtype=float).reshape(2, 7, 2) / 10
    both = mixture.log_evidence(capital, np.zeros(2), np.array([1, 6]), 0.5)
    expected = [logsumexp([0.2, 0.3, np.log(0.5)]), logsumexp([2.6, 2.7, np.log(0.5)])]
    assert both == pytest.approx(expected)


def test_nothing_unspent_adds_nothing() -> None:
    capital = np.zeros((1, 7, 1))
    for unspent in (0.0, -1e-9):
        at = mixture.log_evidence(capital, np.zeros(1), np.zeros(1, np.int64), unspent)
        assert at == pytest.approx(0.0, abs=1e-12)
    nothing = mixture.log_evidence(mixture.empty((1,), 1), np.zeros(1), np.zeros(1, np.int64), 0.0)
    assert nothing == pytest.approx(np.log(1e-300))


def test_before_the_first_look_there_is_no_capital() -> None:
    capital = mixture.empty((2, 3), 4)
    assert capital.shape == (2, 3, 7, 4)
    assert (capital == -np.inf).all()


def test_log_sum_keeps_nothing_and_survives_the_extremes() -> None:
    values = np.array([[-np.inf, -np.inf], [0.0, np.log(3.0)], [1000.0, 1000.0], [-2000.0, -2000.0]])
    expected = [-np.inf, np.log(4.0), 1000 + np.log(2.0), -2000 + np.log(2.0)]
    assert mixture.log_sum(values).tolist() == pytest.approx(expected)


def test_a_hair_above_a_rung_is_that_rung() -> None:
    assert mixture.rung_of(PHI_LADDER + 5e-10).tolist() == list(range(7))
    assert mixture.rung_of(PHI_LADDER + 1e-8).tolist() == [1, 2, 3, 4, 5, 6, 6]
