"""How often and how soon, over batches of seeded runs: wide bounds that only a broken judge misses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from coalmine.analysis.comparison import Comparison
from coalmine.analysis.dispersion import Prior
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
