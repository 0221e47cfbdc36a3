"""The generator: what is drawn is what the scenario says, and the bound is the textbook's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import entropy

from benchmarks.judge.bound import fewest_looks, information, requests_for_proof
from benchmarks.judge.cells import QUIET_RELEASES, WEIGHTS, Cell, all_cells
from benchmarks.judge.faults import FAULTS, odds_times, regression, slow_shift
from benchmarks.judge.quiet_releases import steady
from benchmarks.judge.traffic import BOUNDS, LOOKS, REQUESTS_PER_LOOK, SLOW, draw, lognormal_shares, p99


@pytest.mark.parametrize("name", list(QUIET_RELEASES))
def test_a_release_without_fault_has_the_same_means_in_both_arms(name: str) -> None:
    traffic = draw(QUIET_RELEASES[name], 0.5, 60, 11)
    rates = [arm.errors.sum() / arm.requests.sum() for arm in (traffic.canary, traffic.baseline)]
    slow = [arm.slow.sum() / arm.requests.sum() for arm in (traffic.canary, traffic.baseline)]
    assert rates[0] == pytest.approx(rates[1], rel=0.05)
    assert slow[0] == pytest.approx(slow[1], rel=0.03)


@pytest.mark.parametrize("name", [*QUIET_RELEASES, *FAULTS])
def test_counts_are_possible(name: str) -> None:
    scenario = QUIET_RELEASES[name] if name in QUIET_RELEASES else FAULTS[name].scenario
    traffic = draw(scenario, 0.1, 4, 5)
    for arm in (traffic.canary, traffic.baseline):
        assert (arm.errors <= arm.requests).all()
        assert (arm.buckets.sum(axis=-1) == arm.requests).all()
        assert not arm.requests[~arm.present].any()
    assert traffic.canary.requests.shape == (4, LOOKS)


def test_the_same_seed_draws_the_same_and_no_two_cells_share_one() -> None:
    cell = Cell("quiet", "bursts", 0.1, 3)
    first, again = (draw(cell.scenario, cell.weight, 3, cell.seeds(9)[0]) for _ in range(2))
    assert (first.canary.buckets == again.canary.buckets).all()
    states = {tuple(seed.generate_state(2)) for cell in all_cells() for seed in cell.seeds(9)}
    assert len(states) == 2 * len(all_cells())


def test_weights_shares_and_rates_are_met() -> None:
    traffic = draw(regression(0.005, 0.01), 0.1, 40, 3)
    assert traffic.canary.requests.mean() == pytest.approx(0.1 * REQUESTS_PER_LOOK, rel=0.01)
    assert traffic.canary.errors.sum() / traffic.canary.requests.sum() == pytest.approx(0.01, rel=0.03)
    assert traffic.baseline.slow.sum() / traffic.baseline.requests.sum() == pytest.approx(0.0288, rel=0.02)


def test_p99_is_prometheus_interpolation() -> None:
    """100 requests in (100, 250] ms and one per cent above: rank 99 of 101 lies just short of the bucket's end."""
    buckets = np.zeros(len(BOUNDS) + 1, int)
    buckets[5], buckets[6] = 100, 1
    assert p99(buckets) == pytest.approx(0.1 + 0.15 * (0.99 * 101) / 100)
    assert p99(np.eye(len(BOUNDS) + 1, dtype=int)[-1]) == BOUNDS[-1]
    assert math.isnan(float(p99(np.zeros(len(BOUNDS) + 1, int))))


def test_the_regressions_are_as_large_as_their_names_say() -> None:
    usual = lognormal_shares(np.array(0.0))
    above = slice(BOUNDS.index(SLOW) + 1, None)
    moved = lognormal_shares(np.array(slow_shift(1.5)))
    assert moved[above].sum() == pytest.approx(odds_times(usual[above].sum(), 1.5))
    rng = np.random.default_rng(0)
    canary, _ = FAULTS["p99 +20 %"].scenario(rng, (1, LOOKS), 0.1)
    quantile = 0.08 * math.exp(0.6 * canary.width * 2.3263479)
    assert quantile == pytest.approx(1.2 * 0.08 * math.exp(0.6 * 2.3263479), rel=1e-6)


def test_information_is_the_smallest_over_all_common_distributions() -> None:
    p, q, weight = np.array([0.02, 0.98]), np.array([0.01, 0.99]), 0.1
    candidates = np.linspace(0.005, 0.03, 20_001)
    common = np.stack([candidates, 1.0 - candidates])
    costs = entropy(p[:, None], common) + 9.0 * entropy(q[:, None], common)
    assert float(information(p, q, weight)) == pytest.approx(costs.min(), rel=1e-6)


@pytest.mark.parametrize("weight", WEIGHTS)
def test_the_bound_in_looks(weight: float) -> None:
    """Constant arms: ln(1/alpha) over the information of one look, rounded up."""
    p, q = np.array([0.01, 0.99]), np.array([0.005, 0.995])
    per_look = float(information(p, q, weight)) * REQUESTS_PER_LOOK * weight
    expected = math.ceil(math.log(100.0) / per_look)
    assert fewest_looks(regression(0.005, 0.01), weight, 0.01) == (expected if expected <= LOOKS else None)
    assert fewest_looks(steady(0.005), weight, 0.01) is None


@pytest.mark.parametrize("weight", WEIGHTS)
def test_the_bound_of_a_proof(weight: float) -> None:
    """The least informative pair of levels with the odds of the limit, searched by brute force."""
    share, baselines = 0.005, (1.0 - weight) / weight
    levels = np.linspace(0.003, 0.0055, 200_001)
    odds = 1.5 * levels / (1.0 - levels)
    pairs = np.stack([odds / (1.0 + odds), levels])
    apart = share * np.log(share / pairs) + (1.0 - share) * np.log((1.0 - share) / (1.0 - pairs))
    expected = math.log(20.0) / (apart[0] + baselines * apart[1]).min()
    assert requests_for_proof(share, 1.5, weight, 0.05) == pytest.approx(expected, rel=1e-6)
