"""How often and how soon, over batches of seeded runs: wide bounds that only a broken judge misses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from coalmine.analysis.channels import Counts
from coalmine.analysis.comparison import Comparison
from coalmine.analysis.dispersion import Prior
from coalmine.analysis.history import ratio_noise
from coalmine.analysis.metrics import RatioCounts
from tests.analysis.looks import errors, judge

RUNS, LOOKS = 150, 120
HARM, PROOF = math.log(100), math.log(20)


def run(
    rates_c: NDArray[Any], rates_b: NDArray[Any], weight: float, *, known: bool, seed: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """First look of harm and of no harm per run (a million: never), from rates [S, T]."""
    rng = np.random.default_rng(seed)
    quiet = {"errors": Prior(np.zeros((RUNS, 1)), np.ones(1, bool))}
    core = Comparison(judge(errors(margin=1.0), planned=LOOKS), quiet if known else None)
    state, present = core.start(RUNS, {}), np.ones(RUNS, bool)
    harm, proof = np.full(RUNS, 10**6), np.full(RUNS, 10**6)
    for number in range(rates_c.shape[1]):
        n_c = rng.binomial(2000, weight, RUNS)
        counts = RatioCounts(
            n_c,
            rng.binomial(n_c, rates_c[:, number]),
            2000 - n_c,
            rng.binomial(2000 - n_c, rates_b[:, number]),
            present,
        )
        state = core.update(state, [counts])
        weighed = core.weigh(state)
        harm = np.where((harm == 10**6) & (weighed.harm >= HARM), number + 1, harm)
        proof = np.where((proof == 10**6) & (weighed.metrics["errors"].no_harm >= PROOF), number + 1, proof)
    return harm, proof


def steady(rate: float, looks: int = LOOKS) -> NDArray[Any]:
    return np.full((RUNS, looks), rate)


@pytest.mark.parametrize("weight", [0.05, 0.5])
def test_releases_without_fault_are_left_alone(weight: float) -> None:
    rng = np.random.default_rng(8)
    noisy = [0.005 * rng.gamma(4, 0.25, (RUNS, LOOKS)) for _ in range(2)]
    shock = steady(0.005)
    shock[:, 40:60] = 0.7
    cases: list[tuple[NDArray[Any], NDArray[Any], bool]] = [
        (steady(0.005), steady(0.005), True),
        (steady(0.005), steady(0.005), False),
        (shock, shock, False),
        (noisy[0], noisy[1], False),
    ]
    for number, (canary, baseline, known) in enumerate(cases):
        harm, _ = run(canary, baseline, weight, known=known, seed=number)
        assert (harm < 10**6).sum() <= 6, number


@pytest.mark.parametrize("rate", [0.05, 0.005])
@pytest.mark.parametrize("weight", [0.05, 0.1, 0.5])
def test_clusters_of_errors_learnt_of_half_the_traffic_are_known_of_any_part(weight: float, rate: float) -> None:
    """Errors that come five at a time are as noisy however few there are: their noise does not grow with the load."""
    rng = np.random.default_rng(17)
    past = Counts(*(values[..., None] for values in clusters(rng, 0.5, rate, 360)))
    noise = ratio_noise(past, 6)
    known = Prior(noise.tau2, np.ones(1, bool), least=noise.information)
    core = Comparison(judge(errors(margin=1.0, floor=0.0), planned=360), {"errors": known})
    state, harmed = core.start(RUNS, {}), np.zeros(RUNS, bool)
    for n_c, x_c, n_b, x_b in zip(*clusters(rng, weight, rate, 60), strict=True):
        state = core.update(state, [RatioCounts(n_c, x_c, n_b, x_b, np.ones(RUNS, bool))])
        harmed |= core.weigh(state).harm >= HARM
    assert harmed.sum() <= 3


def clusters(rng: np.random.Generator, weight: float, rate: float, looks: int) -> list[NDArray[Any]]:
    """Requests and events of canary and baseline, each [T, S]; events in clusters of five in the mean."""
    total = rng.poisson(2000, (looks, RUNS))
    canary = rng.binomial(total, weight)
    found: list[NDArray[Any]] = []
    for requests in (canary, total - canary):
        number = rng.poisson(requests * rate / 5)
        further = rng.negative_binomial(np.maximum(number, 1), 0.2)
        found += [requests.astype(float), np.minimum(np.where(number > 0, number + further, 0), requests).astype(float)]
    return found


@pytest.mark.parametrize(
    ("baseline", "canary", "weight", "lowest", "highest"),
    [
        (0.005, 0.01, 0.1, 10, 40),
        (0.005, 0.01, 0.5, 5, 18),
        (0.001, 0.05, 0.1, 1, 2),
        (0.001, 0.05, 0.5, 1, 1),
        (0.001, 1.0, 0.01, 1, 1),
    ],
)
def test_faults_are_seen_in_time(baseline: float, canary: float, weight: float, lowest: int, highest: int) -> None:
    harm, _ = run(steady(canary, 50), steady(baseline, 50), weight, known=True, seed=21)
    assert lowest <= np.median(harm) <= highest


def test_a_release_at_the_no_harm_margin_is_seldom_promoted_and_a_clean_one_is() -> None:
    odds = 1.5 * 0.01 / 0.99
    _, proof = run(steady(odds / (1 + odds), 80), steady(0.01, 80), 0.5, known=True, seed=31)
    assert (proof < 10**6).mean() <= 0.09
    _, proof = run(steady(0.01, 80), steady(0.01, 80), 0.5, known=True, seed=32)
    assert (proof < 10**6).mean() >= 0.9


def test_a_batch_is_the_same_as_its_runs_alone() -> None:
    rng = np.random.default_rng(9)
    core = Comparison(judge(errors()))
    n_c = rng.integers(0, 400, (3, 12))
    n_b = np.full((3, 12), 1800)
    x_c, x_b = rng.binomial(n_c, 0.02), rng.binomial(n_b, 0.01)
    present = rng.random((3, 12)) < 0.8
    batch = core.start(3, {})
    alone = [core.start(1, {}) for _ in range(3)]
    for number in range(12):

        def at(runs: slice, number: int = number) -> RatioCounts:
            arms = n_c[runs, number], x_c[runs, number], n_b[runs, number], x_b[runs, number]
            return RatioCounts(*arms, present[runs, number])

        batch = core.update(batch, [at(slice(None))])
        alone = [core.update(one, [at(slice(i, i + 1))]) for i, one in enumerate(alone)]
    assert core.weigh(batch).harm == pytest.approx([core.weigh(one).harm[0] for one in alone], abs=1e-9)
