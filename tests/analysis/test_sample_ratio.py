"""The sample-ratio test against the beta-binomial distribution."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import betabinom, binom, chi2

from coalmine.analysis.dispersion import Prior
from coalmine.analysis.noises import Noises
from coalmine.analysis.sample_ratio import SampleRatio
from coalmine.analysis.state import encode
from coalmine.records import Evidence
from tests.analysis import oracles
from tests.analysis.looks import counted, judge, look, ratio

COLD = Prior(np.zeros(1), np.zeros(1, bool))


def add(state: SampleRatio, window: tuple[int, int], share: float) -> SampleRatio:
    """One window of a single run, two looks a minute."""
    noises = Noises(2)
    after = state.add(np.array([window[0]]), np.array([window[1]]), np.array([share]), noises)
    noises.settle()
    return after


def folded(windows: list[tuple[int, int]], share: float) -> SampleRatio:
    state = SampleRatio.start()
    for window in windows:
        state = add(state, window, share)
    return state


def at(state: SampleRatio) -> tuple[float, int]:
    """The share under test, and how many there were."""
    return float(state.share[0]), int(state.tests[0])


def spread(windows: list[tuple[int, int]], share: float, block: int) -> float:
    """phi of the split: three looks ago, and no less than all looks leave open."""
    counts = np.array(windows, float)
    total = counts.sum(axis=1)
    t, v = counts[:, 0] - share * total, total * share * (1 - share)
    lagged = oracles.dispersion(t, v, v, level=1.0, scale=lambda _: 1.0, tau2=None, block=block)
    if t.size < 2:
        return math.inf
    seen = max(float(oracles.long_run(t, v, 1.0, 1.0, block)[0]), 1.0)
    return float(max(lagged, seen * (t.size - 1) / chi2.ppf(0.01, t.size - 1)))


def log_evidence(windows: list[tuple[int, int]], share: float, block: int = 2) -> float:
    """Beta-binomial against binomial, by scipy; tempered by dividing the counts."""
    return at_dispersion(windows, share, spread(windows, share, block))


def at_dispersion(windows: list[tuple[int, int]], share: float, phi: float) -> float:
    canary, baseline = np.array(windows, float).sum(axis=0) / phi
    a, b = 100 * share, 100 * (1 - share)
    parts = [math.lgamma(value) for value in (a + canary, b + baseline, a + b + canary + baseline, a, b, a + b)]
    beta = parts[0] + parts[1] - parts[2] - parts[3] - parts[4] + parts[5]
    return float(beta - canary * math.log(share) - baseline * math.log1p(-share))


def test_the_oracle_is_scipys_beta_binomial_over_its_binomial() -> None:
    a, b = 100 * 0.3, 100 * 0.7
    scipys = betabinom.logpmf(40, 125, a, b) - binom.logpmf(40, 125, 0.3)
    assert at_dispersion([(80, 170)], 0.3, 2.0) == pytest.approx(scipys)


@pytest.mark.parametrize("share", [0.1, 0.3])
@pytest.mark.parametrize("tests", [1, 3])
def test_it_speaks_when_the_evidence_reaches_alpha(share: float, tests: int) -> None:
    """Requests come in at a share half as large again, one window after the other, until it speaks."""
    windows: list[tuple[int, int]] = []
    state = replace(SampleRatio.start(), share=np.array([0.5]), tests=np.array([tests - 1]))
    # Windows whose split is exactly as wide as counting makes it: nothing is left to estimate.
    needed, spoke = math.log(tests * (tests + 1) / 0.001), False
    for number in range(120):
        jitter = (-1) ** number
        windows.append((round(40 * share * 1.5) + jitter, 40 - round(40 * share * 1.5) - jitter))
        state = add(state, windows[-1], share)
        assert at(state) == (share, tests)
        expected = log_evidence(windows, share) >= needed
        assert bool(state.mismatch()[0]) == expected, number
        spoke |= expected
    assert spoke


def test_a_share_within_a_tenth_is_no_mismatch_however_sure() -> None:
    for canary, off in ((110_000, False), (110_001, True), (89_999, True), (90_001, False)):
        assert folded([(canary, 1_000_000 - canary)] * 5, 0.1).mismatch()[0] == off


def test_a_single_look_says_nothing_and_a_gross_mismatch_is_found_in_the_next_few() -> None:
    rng = np.random.default_rng(6)
    windows: list[tuple[int, int]] = []
    while not folded(windows, 0.05).mismatch()[0] and len(windows) < 20:
        canary = int(rng.binomial(2000, 0.5))
        windows.append((canary, 2000 - canary))
    assert 2 <= len(windows) <= 6


@pytest.mark.parametrize("share", [0.05, 0.1, 0.5])
def test_requests_of_a_client_that_stay_together_are_no_mismatch(share: float) -> None:
    """Ten a client, as feature flags and sticky users deal them out: 300 releases, fifteen minutes of looks."""
    rng = np.random.default_rng(7)
    state, held = SampleRatio.start(300), np.zeros(300, bool)
    for _ in range(90):
        total = rng.poisson(2000, 300)
        canary = 10 * rng.binomial(total // 10, share)
        noises = Noises(6)
        state = state.add(canary, total - canary, np.full(300, share), noises)
        noises.settle()
        held |= state.mismatch()
    assert held.mean() <= 0.01


def test_windows_without_requests_tell_nothing_of_the_split() -> None:
    some = folded([(20, 80)], 0.1)
    assert add(some, (0, 0), 0.1).noise.sums.tolist() == some.noise.sums.tolist()


def test_nothing_seen_is_no_mismatch() -> None:
    state = SampleRatio.start()
    assert not state.mismatch()[0]
    assert state.complaint() == ""
    assert math.isnan(state.seen[0])
    empty = add(state, (0, 0), 0.1)
    assert not empty.mismatch()[0]
    assert empty.complaint() == ""


def test_the_complaint_to_the_letter() -> None:
    state = folded([(1380, 8620), (1420, 8580)] * 3, 0.1)
    assert state.seen[0] == pytest.approx(0.14)
    assert state.complaint() == (
        "the sample ratio is off: the canary got 14.0 % of 60,000 requests instead of 10.0 %, "
        "so the comparison is invalid (alpha 0.1 %)"
    )
    assert folded([(1000, 9000)], 0.1).complaint() == ""


def test_each_weight_is_a_test_of_its_own() -> None:
    state = folded([(13, 87)], 0.1)
    assert at(state) == (0.1, 1)
    again = add(state, (20, 80), 0.1)
    assert at(again) == (0.1, 1)
    assert (again.canary.tolist(), again.baseline.tolist()) == ([33.0], [167.0])
    other = add(again, (5, 5), 0.5)
    assert at(other) == (0.5, 2)
    assert (other.canary.tolist(), other.baseline.tolist()) == ([5.0], [5.0])
    assert other.noise.lagged(COLD, np.ones(1)) == pytest.approx(1.5)


def test_it_is_written_down_and_read() -> None:
    state = folded([(13, 87), (20, 80), (9, 91), (11, 89), (30, 70)], 0.1)
    read = SampleRatio.read(encode(state, 5) | state.terms)
    assert at(read) == (0.1, 1)
    assert (read.canary.tolist(), read.baseline.tolist()) == (state.canary.tolist(), state.baseline.tolist())
    assert read.noise.sums == pytest.approx(state.noise.sums, rel=1e-6)
    assert read.noise.recent == pytest.approx(state.noise.recent, rel=1e-6)
    fresh = SampleRatio.read(None)
    assert at(fresh) == (0.0, 0)
    assert math.isnan(fresh.seen[0])
    assert at(SampleRatio.read({})) == (0.0, 0)


def test_a_rollout_keeps_it_with_its_evidence() -> None:
    evidence: Evidence | None = None
    for _ in range(3):
        evidence = look(judge(), [ratio(1, 300, 3, 700)], evidence, share=0.3).evidence
    assert evidence is not None
    assert evidence.state["split"] == {"share": 0.3, "tests": 1}
    assert counted(judge(), evidence)[-2:] == [900, 2100]
    without = look(judge(), [ratio(1, 300, 3, 700)], evidence, share=None).evidence
    assert counted(judge(), without)[-2:] == [900, 2100]
    for share in (0.0, 1.0):
        assert look(judge(), [ratio(1, 300, 3, 700)], evidence, share=share).evidence.state["split"]["share"] == 0.3
