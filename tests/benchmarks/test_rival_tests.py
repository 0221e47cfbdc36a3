"""The rivals that are tests of proportions, each against an oracle that shares no code with it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, optimize, stats

from benchmarks.judge.rivals import growthbook, msprt, multinomial, z_test
from benchmarks.judge.rivals.shared import NEVER, Proportions, first

CASES = [(12, 1000, 80, 9000), (30, 1000, 60, 9000), (55, 10_000, 40, 10_000), (3, 400, 2, 600)]


def counts(case: tuple[int, int, int, int]) -> Proportions:
    return Proportions(*(np.array([[float(value)]]) for value in case))


@pytest.mark.parametrize("case", CASES)
def test_the_z_statistic_squared_is_pearsons_chi_square(case: tuple[int, int, int, int]) -> None:
    x, n, y, m = case
    expected = stats.chi2_contingency([[x, n - x], [y, m - y]], correction=False).statistic
    z = float(z_test.statistic(counts(case))[0, 0])
    assert z**2 == pytest.approx(expected)
    assert math.copysign(1.0, z) == math.copysign(1.0, x / n - y / m)


@pytest.mark.parametrize("case", CASES)
def test_msprt_is_the_integral_of_the_likelihood_ratio_over_its_mixture(case: tuple[int, int, int, int]) -> None:
    x, n, y, m = case
    tau, difference = 0.01, x / n - y / m
    deviation = math.sqrt(x / n * (1 - x / n) / n + y / m * (1 - y / m) / m)

    def integrand(effect: float) -> float:
        likelihood = stats.norm.pdf(difference, effect, deviation) / stats.norm.pdf(difference, 0.0, deviation)
        return float(likelihood * stats.norm.pdf(effect, 0.0, tau))

    mixed, _ = integrate.quad(integrand, -0.1, 0.1, points=[0.0, difference], limit=200)
    assert math.exp(float(msprt.log_ratio(counts(case), tau)[0, 0])) == pytest.approx(mixed, rel=1e-5)


@pytest.mark.parametrize(("events", "canary", "share"), [(12, 3, 0.1), (40, 30, 0.5), (7, 0, 0.05), (60, 12, 0.1)])
def test_the_multinomial_evidence_is_the_integral_over_its_beta_mixture(events: int, canary: int, share: float) -> None:
    mixture = stats.beta(100 * share, 100 * (1 - share))

    def integrand(theta: float) -> float:
        ratio = (theta / share) ** canary * ((1 - theta) / (1 - share)) ** (events - canary)
        return float(ratio * mixture.pdf(theta))

    mixed, _ = integrate.quad(integrand, 0.0, 1.0, points=[share], limit=200)
    evidence = float(multinomial.log_evidence(np.array(canary), np.array(events), share))
    assert math.exp(evidence) == pytest.approx(mixed, rel=1e-6)


def test_the_multinomial_evidence_is_fair_when_the_arms_are_alike() -> None:
    """Over all outcomes of 30 events, each with its probability, an e-value averages 1."""
    canary = np.arange(31)
    evidence = np.exp(multinomial.log_evidence(canary, np.full(31, 30), 0.1))
    assert float((stats.binom.pmf(canary, 30, 0.1) * evidence).sum()) == pytest.approx(1.0)


def test_growthbooks_parameter_and_width_by_hand() -> None:
    """alpha 5 % one-sided, 5000 observations of variance 1: every step spelled out with plain numbers."""
    log_alpha = -2.0 * math.log(0.1)
    rho_squared = (log_alpha + math.log(log_alpha + 1.0)) / 5000.0
    grown = 5000.0 * rho_squared + 1.0
    expected = math.sqrt(2.0 * grown / (5000.0**2 * rho_squared) * math.log(1.0 + math.sqrt(grown) / 0.1))
    assert growthbook.mixing(0.1) ** 2 == pytest.approx(rho_squared)
    assert float(growthbook.half_width(np.array(1.0), np.array(5000.0), 0.05)) == pytest.approx(expected)


@pytest.mark.parametrize("number", [500.0, 5000.0, 50_000.0])
def test_growthbooks_width_bounds_the_half_normal_mixtures(number: float) -> None:
    """The one-sided sequence is a closed form just outside the half-normal mixture's exact boundary."""
    rho = growthbook.mixing(2 * 0.01)

    def excess(mean: float) -> float:
        grown = number * rho**2 + 1.0
        score = number * rho * mean / math.sqrt(grown)
        log_mixture = math.log(2.0 / math.sqrt(grown)) + score**2 / 2.0 + float(stats.norm.logcdf(score))
        return log_mixture - math.log(1.0 / 0.01)

    exact = optimize.brentq(excess, 1e-6, 5.0)
    width = float(growthbook.half_width(np.array(1.0), np.array(number), 0.01))
    assert exact <= width <= 1.02 * exact


def test_growthbooks_sequence_is_narrowest_about_its_tuning_parameter() -> None:
    number = np.geomspace(500, 50_000, 400)
    fixed = np.sqrt(1.0 / number)
    relative = growthbook.half_width(np.ones(400), number, 0.05) / fixed
    assert 3500 <= number[relative.argmin()] <= 7500


def test_nothing_known_is_no_evidence() -> None:
    for case in ((0, 0, 5, 100), (0, 50, 0, 900), (0, 50, 9, 900)):
        one = counts(case)
        assert msprt.log_ratio(one, 0.01)[0, 0] <= 0.0
        assert growthbook.lower_end(one, 0.01)[0, 0] < 0.0
        assert z_test.statistic(one)[0, 0] <= 0.0


def test_the_first_look_counts_from_one() -> None:
    fires = np.array([[False, True, True], [False, False, False], [True, False, False]])
    assert first(fires).tolist() == [2, NEVER, 1]
