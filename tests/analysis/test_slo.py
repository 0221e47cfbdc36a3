"""An objective of the canary alone: burn rates, budget, steps and bake."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from coalmine.analysis.channels import Pace
from coalmine.analysis.kinds import weigh
from coalmine.analysis.mixture import invest
from coalmine.analysis.slo import SloCounts, SloMetric, share_interval
from coalmine.errors import InputError
from coalmine.records import ArmCounts, BurnCounts, Evaluation, Finding, MetricCounts
from coalmine.spec.metrics import BurnRate, Metric, Slo
from tests.analysis.looks import bare_size, errors, fold, judge, look, ratio, silent

HOUR, MINUTES = timedelta(hours=1), timedelta(minutes=5)


def availability(**options: Any) -> Metric:
    rates = [BurnRate(rate=10.0, long=HOUR, short=MINUTES)]
    return Metric(name="availability", kind="slo", slo=Slo(**{"objective": 0.99, "burn": rates, **options}))


def served(
    events: int, total: int, burn: list[tuple[float, int, int]] | None = None, baseline: int = 900
) -> MetricCounts:
    windows = None if burn is None else [BurnCounts(seconds=s, total=t, events=x) for s, t, x in burn]
    return MetricCounts(
        metric="availability",
        canary=ArmCounts(total=total, events=events, burn=windows),
        baseline=ArmCounts(total=baseline, events=0),
        seconds=10.0,
    )


def looks(
    rows: list[MetricCounts], metric: Metric | None = None, stage: Literal["compare", "bake"] = "compare"
) -> list[Evaluation]:
    return fold(judge(metric or availability()), [[row] for row in rows], stage=stage)


# --------------------------------------------------------------------------------------------------- formulae


@pytest.mark.parametrize(("events", "total"), [(0, 50), (1, 50), (25, 50), (50, 50), (3, 100_000), (10**9, 10**12)])
def test_the_interval_of_a_share_solves_its_equation(events: int, total: int) -> None:
    low, high = share_interval(events, total, 1.0, 0.01)
    assert 0.0 <= low <= events / total <= high <= 1.0
    mixed = stats.betabinom.logpmf(events, total, 1, 1)
    for end in (low, high):
        if 0.0 < end < 1.0:
            # The coefficient is the same in both, so its rounding cancels.
            assert stats.binom.logpmf(events, total, end) - mixed == pytest.approx(math.log(0.01), abs=0.02)
    if total <= 100_000:
        exact = stats.binomtest(events, total).proportion_ci(0.99, method="exact")
        assert low <= exact.low + 1e-9
        assert high >= exact.high - 1e-9


def test_the_interval_of_a_share_holds_for_counts_of_any_size() -> None:
    """One of a great many: with u = n p the equation is u - ln u = ln n + ln(1 / alpha), Poisson's limit."""
    _, high = share_interval(1, 10**15, 1.0, 0.01)
    u = high * 10**15
    assert u - math.log(u) == pytest.approx(math.log(10**15) + math.log(100), rel=1e-6)
    for events, total in ((10**18 - 1, 10**18), (10**17, 10**17), (0, 10**18), (0, 1), (1, 1)):
        low, high = share_interval(events, total, 1.25, 0.01)
        assert low >= 0.0
        assert low <= high <= 1.0


def test_the_interval_covers_at_every_look_together() -> None:
    rng = np.random.default_rng(3)
    missed = 0
    for _ in range(150):
        totals = np.cumsum(rng.binomial(100, 0.03, 40))
        missed += any(
            not low <= 0.03 <= high
            for low, high in (share_interval(int(x), 100 * (at + 1), 1.0, 0.05) for at, x in enumerate(totals))
        )
    assert missed / 150 <= 0.05 + 2.6 * math.sqrt(0.05 / 150)


def first_harm(rate: float, runs: int, seed: int, length: int = 120) -> np.ndarray[Any, Any]:
    """First look of harm with both windows always burning: what is left is the evidence."""
    rng = np.random.default_rng(seed)
    slo = availability().slo
    assert slo is not None
    metric = SloMetric(slo, 10.0)
    state, ones, spent = metric.start(runs), np.ones(runs), 0.0
    found = np.full(runs, 10**6)
    for number in range(length):
        weight = invest(spent, number + 1, length, new_step=False, extension=False)
        spent += weight
        counts = SloCounts(
            200 * ones, rng.binomial(200, rate, runs), 1800 * ones, 10 * ones, np.ones((runs, 1), bool), ones > 0
        )
        state = metric.update(state, counts, Pace(weight, math.log(100), 6))
        found = np.where((found == 10**6) & (weigh(metric, state, 1 - spent).harm >= math.log(100)), number + 1, found)
    return found


def test_a_canary_that_burns_just_as_fast_as_allowed_is_left_alone() -> None:
    assert (first_harm(0.10, 400, seed=5) < 10**6).mean() <= 0.01 + 2.6 * math.sqrt(0.01 / 400)
    assert np.median(first_harm(0.20, 100, seed=6)) <= 6


# -------------------------------------------------------------------------------------------------- the verdicts


def test_both_windows_must_burn() -> None:
    """Evidence there is in each case: one in three requests is bad, thirty times the budget."""
    lasting, now = (3600.0, 4000, 800), (300.0, 2000, 660)
    cases = {
        (lasting, now): Finding.HARM,
        (lasting, (300.0, 2000, 10)): Finding.UNDECIDED,
        ((3600.0, 4000, 30), now): Finding.UNDECIDED,
        (lasting,): Finding.UNDECIDED,
    }
    for windows, finding in cases.items():
        found = looks([served(66, 200, list(windows)) for _ in range(5)])[-1]
        assert found.finding is finding, windows
    assert looks([served(66, 200) for _ in range(5)])[-1].finding is Finding.HARM


def test_windows_are_found_by_their_length_to_the_millisecond() -> None:
    rates = [BurnRate(rate=10.0, long=timedelta(seconds=60.125), short=timedelta(seconds=5.125))]
    found = looks([served(66, 200, [(60.125, 2000, 660), (5.125, 200, 66)])] * 5, availability(burn=rates))[-1]
    assert found.finding is Finding.HARM


def test_few_requests_do_not_fire() -> None:
    found = looks([served(2, 10, [(300.0, 10, 2), (3600.0, 10, 2)])])[-1]
    assert found.finding is Finding.UNDECIDED


def test_the_sentence_says_rate_interval_and_budget() -> None:
    found = looks([served(40, 200, [(300.0, 400, 80), (3600.0, 400, 80)]) for _ in range(4)])[-1]
    verdict = found.verdicts[0]
    assert found.finding is Finding.HARM
    assert verdict.measure == "burn rate"
    assert verdict.effect == pytest.approx(20.0)
    assert verdict.interval is not None
    assert 10 < verdict.interval[0] < 20 < verdict.interval[1]
    assert verdict.margin == 10.0
    # 160 bad of (4 x 1100 requests in 40 s) x 30 days x 1 %.
    used = 160 / (4400 / 40 * 30 * 86400 * 0.01)
    low, high = verdict.interval
    assert verdict.sentence == (
        "availability: 20.0 % of 800 canary requests bad, 20 times what 99 % allow "
        f"(between {low:.3g} and {high:.3g}); "
        f"too fast is 10 over 1h and 5m; {100 * used:.3g} % of the budget of 30d used"
    )


def test_the_sentence_names_burn_rates_by_both_their_windows() -> None:
    rates = [{"rate": 3.0, "long": "2h", "short": "10m"}, {"rate": 1.5, "long": "1d", "short": "2h"}]
    found = looks([served(1, 200, [(600.0, 400, 2), (7200.0, 400, 2)])], availability(burn=rates))[-1]
    assert "too fast is 3 over 2h and 10m and 1.5 over 1d and 2h" in found.verdicts[0].sentence


def test_both_arms_bad_together_are_still_too_bad() -> None:
    """A comparison sees nothing; the objective does."""
    rows = [[ratio(40, 200, 360, 1800), served(40, 200, [(300.0, 400, 80), (3600.0, 400, 80)])] for _ in range(4)]
    found = fold(judge(errors(), availability()), rows, share=0.1)[-1]
    assert found.finding is Finding.HARM
    assert [verdict.verdict for verdict in found.verdicts] == ["pass", "fail"]


def test_the_budget_is_a_limit_that_needs_no_evidence() -> None:
    spent = availability(budget=1e-8)
    found = looks([served(1, 200, [(300.0, 200, 1), (3600.0, 200, 1)])], spent)[-1]
    assert found.finding is Finding.HARM
    assert found.reason.startswith("a limit is broken: availability")
    assert looks([served(1, 200)], availability(budget=0.9))[-1].finding is Finding.NO_HARM
    kept = looks([served(0, 200)] * 3, availability(budget=1e-8))[-1]
    assert kept.finding is Finding.NO_HARM


def test_no_harm_needs_enough_good_requests() -> None:
    assert looks([served(0, 20)])[-1].finding is Finding.UNDECIDED
    found = looks([served(1, 100)] * 3)[-1]
    assert found.finding is Finding.NO_HARM
    assert "below 10 times is shown" in found.reason


def test_as_a_signal_it_only_holds() -> None:
    metric = availability().model_copy(update={"role": "signal"})
    rows = [[ratio(1, 200, 9, 1800), served(66, 200)] for _ in range(4)]
    assert fold(judge(errors(), metric), rows, share=0.1)[-1].finding is Finding.SIGNAL


def test_the_bake_judges_it_too() -> None:
    bad = looks([served(66, 200, [(300.0, 400, 132), (3600.0, 400, 132)], baseline=0)] * 4, stage="bake")[-1]
    assert bad.finding is Finding.HARM
    assert bad.verdicts[0].verdict == "fail"
    good = looks([served(0, 200, [(300.0, 400, 0), (3600.0, 400, 0)], baseline=0)] * 4, stage="bake")[-1]
    assert good.finding is Finding.NO_HARM
    assert good.verdicts[0].verdict == "pass"
    assert good.canary_requests == 200
    spent = looks([served(9, 200, baseline=0)], availability(budget=1e-8), stage="bake")[-1]
    assert spent.finding is Finding.HARM


# ------------------------------------------------------------------------------------------------- properties


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.sampled_from([0, 1, 200, 10**12])), min_size=1, max_size=5),
    st.sampled_from([1e-6, 0.5, 0.9, 0.99999]),
    st.sampled_from(["compare", "bake"]),
)
def test_whatever_comes_there_is_a_verdict(
    rows: list[tuple[float, int]], objective: float, stage: Literal["compare", "bake"]
) -> None:
    metric = availability(objective=objective, burn=[BurnRate(rate=1.0, long=HOUR, short=MINUTES)], budget=1.0)
    verdict = looks([served(int(share * total), total) for share, total in rows], metric, stage)[-1].verdicts[0]
    shown = (verdict.effect, *(verdict.interval or ()), verdict.log_e_harm, verdict.log_e_no_harm, verdict.canary)
    assert all(math.isfinite(value) for value in shown if value is not None)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=6), st.sets(st.integers(0, 5), max_size=3))
def test_looks_without_data_change_nothing_that_is_shown(bad: list[int], gaps: set[int]) -> None:
    rows = [served(x, 200) for x in bad]
    holed = [one for at, row in enumerate(rows) for one in ([row, silent("availability")] if at in gaps else [row])]
    there, without = (looks(one)[-1].verdicts[0] for one in (holed, rows))
    assert (there.effect, there.canary) == (without.effect, without.canary)
    # Running sums are written down as 32-bit floats once more.
    assert there.interval == pytest.approx(without.interval, rel=1e-4)


def test_what_cannot_be_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"counts\.availability\.canary\.burn\[0\]\.seconds: 0 is no length"):
        looks([served(1, 10, [(0.0, 1, 1)])])
    with pytest.raises(InputError, match=r"burn\[0\]\.events: -1 is negative"):
        looks([served(1, 10, [(300.0, 1, -1)])])
    with pytest.raises(InputError, match=r"metrics\.availability\.slo: missing"):
        look(judge(Metric(name="availability", kind="slo")), [served(1, 10)])


def test_the_state_stays_small_with_four_burn_rates() -> None:
    rates = [BurnRate(rate=rate, long=HOUR, short=MINUTES) for rate in (1.0, 2.0, 6.0, 14.4)]
    rng = np.random.default_rng(8)
    rows = [[ratio(1, 200, 9, 1800), served(int(rng.integers(0, 30)), 200)] for _ in range(80)]
    both = fold(judge(errors(), availability(burn=rates)), rows, share=0.1)[-1].evidence
    one = fold(judge(errors()), [row[:1] for row in rows], share=0.1)[-1].evidence
    assert bare_size(both) - bare_size(one) <= 2560
