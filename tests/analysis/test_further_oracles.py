"""Values, counts and objectives worked out a second way: from all looks at once, by hand, without any state."""

from __future__ import annotations

import math

import numpy as np
import pytest

from coalmine.analysis import asymptotic
from coalmine.analysis.channels import Pace
from coalmine.analysis.comparison import Comparison
from coalmine.analysis.count import CountMetric, CountState, EventCounts
from coalmine.analysis.dispersion import Prior
from coalmine.analysis.grids import HARM_LOG_PRIOR, HARM_RATIOS
from coalmine.analysis.interval import interval
from coalmine.analysis.kinds import weigh
from coalmine.analysis.latency import choose_bounds
from coalmine.analysis.metrics import HistogramCounts, LatencyMetric
from coalmine.analysis.prepared import comparison_of
from coalmine.analysis.sentences import amount, effect
from coalmine.analysis.slo import SloCounts, SloMetric
from coalmine.analysis.state import CAPITAL, CURVE
from coalmine.analysis.tempering import log_evidence
from coalmine.analysis.value import ValueMeans, ValueMetric
from coalmine.analysis.windows import Arm, MetricWindow, read_windows
from coalmine.errors import InputError
from coalmine.records import ArmCounts, BurnCounts, MetricCounts
from coalmine.spec.metrics import Metric, Slo
from tests.analysis.looks import errors, judge, latency, look, ratio

COLD = Prior(np.zeros(1), np.zeros(1, bool))
PACE = Pace(weight=0.1, cap=9.0, block=1)


def value_evidence(differences: list[float], levels: list[float], part: float) -> float:
    """``ln E`` that the mean difference is above ``part`` of the level: every process from its own blocks."""
    x, size = np.array(differences), np.abs(np.array(levels))
    n, terms = x.size, []
    newest = (n - 1) // 5
    for number in [0, *range(max(1, newest - 6), newest + 1)]:
        start = 5 * number
        own = x[start:]
        level, allowed = own.mean(), part * size[start:].mean()
        series = x - part * size
        means = np.concatenate(
            [np.full(start, series[:start].mean() if start else 0.0), np.full(n - start, series[start:].mean())]
        )
        about = series - means
        spread, lagged = float((about**2).sum()), float((about[1:] * about[:-1]).sum())
        if start:
            # The product over the seam is that of residuals about one mean, less what the two means explain.
            whole = series - series.mean()
            spread_whole = float((whole**2).sum())
            lagged = float((whole[1:] * whole[:-1]).sum()) - (spread_whole - spread)
        variance, freedom = asymptotic.long_run(
            np.array(spread), np.array(lagged), np.array(float(n)), np.array(2.0 if start else 1.0)
        )
        error = math.sqrt(float(variance)) / math.sqrt(own.size)
        score = asymptotic.normal_score(np.array((level - allowed) / error), freedom)
        log_e = float(asymptotic.log_evidence(score, np.array(float(own.size)))) if own.size >= 10 else 0.0
        weight = 0.5 if number == 0 else 0.5 / (number * (number + 1))
        terms.append(math.log(weight) + log_e)
    left = 0.5 / (newest + 1)
    return float(np.logaddexp.reduce([*terms, math.log(left)]))


@pytest.mark.parametrize(
    ("blocks", "shift", "margin"), [(12, 0.0, 1.0), (23, 0.05, 1.0), (38, 0.2, 1.1), (38, -0.1, 1.0)]
)
def test_the_evidence_of_a_value_is_that_of_all_its_processes(blocks: int, shift: float, margin: float) -> None:
    rng = np.random.default_rng(blocks)
    baseline = 1.0 + 0.05 * rng.standard_normal(blocks)
    canary = baseline + 0.03 * rng.standard_normal(blocks) + shift * (np.arange(blocks) >= blocks // 2)
    metric = ValueMetric(margin, 1.5, 0.0)
    state = metric.start(1)
    for c, b in zip(canary, baseline, strict=True):
        state = metric.update(state, ValueMeans(np.array([c]), np.array([b]), np.ones(1, bool)), PACE)
    found = float(weigh(metric, state, 0.5).harm[0])
    expected = value_evidence([float(v) for v in canary - baseline], [float(v) for v in baseline], margin - 1.0)
    assert found == pytest.approx(expected, abs=1e-6)


def test_freedom_is_what_the_fitted_means_leave() -> None:
    spread, lagged = np.array(8.0), np.array(0.0)
    one, two = (asymptotic.long_run(spread, lagged, np.array(40.0), np.array(fitted)) for fitted in (1.0, 2.0))
    for (variance, freedom), fitted in ((one, 1.0), (two, 2.0)):
        rho = fitted / 40.0 + asymptotic.CAUTION / math.sqrt(40.0)
        longer = (1.0 + rho) / (1.0 - rho)
        assert float(variance) == pytest.approx(8.0 / (40.0 - fitted) * longer)
        assert float(freedom) == pytest.approx((40.0 - fitted) / longer)


def test_too_little_or_nothing_is_no_relative_variance() -> None:
    metric = ValueMetric(1.0, 1.5, 0.0)
    few, none = metric.start(1), metric.start(1)
    for block in range(12):
        if block < 9:
            few = metric.update(few, ValueMeans(np.array([1.0 + block % 2]), np.ones(1), np.ones(1, bool)), PACE)
        none = metric.update(none, ValueMeans(np.array([float(block % 2)]), np.zeros(1), np.ones(1, bool)), PACE)
    assert metric.relative_variance(few).tolist() == [0.0]
    assert metric.relative_variance(none).tolist() == [0.0]


@pytest.mark.parametrize("down", [False, True])
def test_the_lowest_ratio_is_the_end_nearest_to_no_harm(down: bool) -> None:
    metric = ValueMetric(1.0, 1.5, 0.0, down=down)
    state = metric.start(1)
    rng = np.random.default_rng(2)
    for _ in range(30):
        canary = (0.7 if down else 1.3) + 0.01 * rng.standard_normal()
        state = metric.update(state, ValueMeans(np.array([canary]), np.ones(1), np.ones(1, bool)), PACE)
    reading = metric.read(["orders"], state, weigh(metric, state, 0.5), 0.01)[0]
    assert reading.interval is not None
    low, high = reading.interval
    assert reading.lowest == pytest.approx(1.0 - high if down else 1.0 + low, rel=1e-5)
    assert 1.2 < reading.lowest < 1.3


# ------------------------------------------------------------------------------------------------- counts


def folded(metric: CountMetric, rows: list[tuple[int, int]], share: float) -> CountState:
    state = metric.start(1)
    for canary, baseline in rows:
        more, other, part, seconds = (np.array([float(v)]) for v in (canary, baseline, share, 3600.0))
        state = metric.update(state, EventCounts(more, other, part, seconds, np.ones(1, bool)), PACE)
    return state


def test_one_look_at_a_count_by_hand() -> None:
    metric, share, pace = CountMetric(1.5, 2.0, 0.0, COLD), 0.2, PACE
    state = folded(metric, [(9, 11)], share)
    part = share * 1.5 / (share * 1.5 + 1.0 - share)
    assert state.expected[0, 0] == pytest.approx(20 * part)
    ratios = 1.5 * HARM_RATIOS
    against = 9 * np.log(ratios / 1.5) - 20 * np.log((1 + share * (ratios - 1)) / (1 + share * 0.5))
    # Nothing is known of the noise yet, so counting is tempered by what is taken for granted.
    log_e = {
        phi: float(np.logaddexp.reduce(HARM_LOG_PRIOR + np.log(0.1) + np.minimum(against / phi, pace.harm_cap)))
        for phi in (1.0, 1.25, 1.6)
    }
    harm = float(weigh(metric, state, 0.9).harm[0])
    assert np.logaddexp(log_e[1.6], math.log(0.9)) <= harm + 1e-9
    assert harm <= np.logaddexp(log_e[1.25], math.log(0.9)) + 1e-9


def test_nothing_seen_proves_nothing_of_a_count() -> None:
    for tolerance in (0.0, 3.0):
        metric = CountMetric(1.1, 1.5, tolerance, COLD)
        weighed = weigh(metric, metric.start(2), 1.0)
        assert weighed.harm == pytest.approx(np.zeros(2))
        assert weighed.no_harm == pytest.approx(np.zeros(2))


@pytest.mark.parametrize("share", [None, 0.0, 1.0])
def test_a_count_without_a_share_is_no_bet(share: float | None) -> None:
    window = MetricWindow(Metric(name="kills", kind="count"), Arm(events=3), Arm(events=4))
    _, counts, reason = CountMetric(1.1, 1.5, 0.0, COLD).take((), window, share, "")
    assert (counts.present.tolist(), counts.share.tolist(), reason) == ([False], [0.5], "")


def test_what_no_harm_means_of_a_count_is_said_where_less_is_worse() -> None:
    for down, proof in ((False, ""), (True, ": above x0.67 is shown")):
        metric = CountMetric(1.1, 1.5, 0.0, COLD, down=down)
        state = folded(metric, [(5, 20)], 0.2)
        assert metric.read(["orders"], state, weigh(metric, state, 0.5), 0.01)[0].proof == proof


# ----------------------------------------------------------------------------------------- words and numbers


def test_thousands_begin_at_a_thousand() -> None:
    assert (amount(1000.0), amount(999.96), amount(1e15)) == ("1,000", "1000", "1e+15")


def test_an_end_of_the_grid_is_no_bound() -> None:
    assert effect(1.0, (1 / 30, 2.0), 1.1) == "x1.00, at most x2.0; margin x1.10"
    assert effect(2.0, (1 / 30, 400.0), 1.1) == "x2.0, no bound yet; margin x1.10"


def test_p999_is_the_bound_with_a_thousandth_above() -> None:
    shares = np.array([0.9, 0.08, 0.0188, 0.0008, 0.0004])
    assert choose_bounds(np.round(shares * 1e6)[None], None).tolist() == [[1, 2, 0]]


def test_a_window_may_be_shorter_than_a_second_but_not_empty() -> None:
    metric = Metric(name="kills", kind="count")
    arm = ArmCounts(events=1)
    counts = MetricCounts(metric="kills", canary=arm, baseline=arm, seconds=0.5)
    assert read_windows([metric], [counts], compare=True)[0].seconds == 0.5
    with pytest.raises(InputError, match=r"^counts\.kills\.seconds: 0 is no length of a window: leave it out$"):
        read_windows([metric], [counts.model_copy(update={"seconds": 0.0})], compare=True)


def test_what_is_missing_is_said() -> None:
    threshold = Metric(name="queue", kind="threshold")
    told = read_windows([threshold], [MetricCounts(metric="queue")], compare=True)[0].missing
    assert told == "the query has no answer"
    told = read_windows([threshold], [], compare=True)[0].missing
    assert told == "no counts in this look"
    cpu = Metric(name="cpu", kind="value")
    nobody = ArmCounts(values=[])
    told = read_windows([cpu], [MetricCounts(metric="cpu", canary=nobody, baseline=nobody)], compare=True)[0].missing
    assert told == "no instance of the canary and the baseline has a value"


@pytest.mark.parametrize("steps", [CAPITAL, CURVE])
def test_settling_is_writing_and_reading(steps: object) -> None:
    rng = np.random.default_rng(3)
    lowest, per_nat = getattr(steps, "lowest", -2e6), getattr(steps, "per_nat", 32)
    values = np.concatenate([[-np.inf, lowest, lowest - 1, 0.0, 70000 / per_nat], lowest + 900 * rng.random(200)])
    for offset in (0.0, 0.37, 0.99):
        settled = steps.settle(values, offset)  # type: ignore[attr-defined]
        assert (settled == steps.read(steps.write(values, offset))).all()  # type: ignore[attr-defined]


def test_a_kept_comparison_does_not_follow_the_metrics_of_its_judge() -> None:
    asked = judge(errors(margin=1.77))
    made = comparison_of(asked)
    asked.metrics.append(errors(margin=2.0).model_copy(update={"name": "more"}))
    assert len(made.judge.metrics) == 1
    assert comparison_of(asked) is not made


def test_what_a_count_says_to_the_letter() -> None:
    for down in (False, True):
        metric = CountMetric(1.1, 1.5, 0.0, COLD, down=down)
        state = folded(metric, [(900, 1100), (850, 1200)], 0.2)
        reading = metric.read(["kills"], state, weigh(metric, state, 0.5), 0.01)[0]
        assert reading.effect == pytest.approx((1750 / 0.2) / (2300 / 0.8), rel=0.002)
        phi = state.noise.lagged(COLD, np.ones(1))
        low, high = (float(end[0, 0]) for end in interval(state.curve, phi, 0.01))
        assert reading.interval == (
            (round(1 / high, 4), round(1 / low, 4)) if down else (round(low, 4), round(high, 4))
        )
        # Where less is worse the arms change places: the ratio of the others' rates is at least this.
        assert reading.lowest == pytest.approx(low, rel=1e-9)
        assert reading.text.startswith(
            "kills: 1,750 in the canary at 20.0 % of the traffic against 2,300 in the baseline (x3.0"
        )
        assert reading.text.endswith(f"; margin {'x0.91' if down else 'x1.10'})")


def test_the_noise_of_a_count_is_measured_against_the_binomials_variance() -> None:
    share, margin = 0.2, 1.5
    state = folded(CountMetric(margin, 2.0, 0.0, COLD), [(9, 11)], share)
    part = share * margin / (share * margin + 1 - share)
    sums = dict(zip(("looks", "t", "v"), state.noise.sums[0, 0, :3].tolist(), strict=True))
    assert sums == pytest.approx({"looks": 1.0, "t": 9 - 20 * part, "v": 20 * part * (1 - part)})


def test_requests_are_told_by_thousands() -> None:
    found = look(judge(errors()), [ratio(50, 5000, 100, 45_000)], share=0.1)
    assert found.verdicts[0].sentence.endswith(" after 5,000 canary requests")


def test_a_single_watched_bound_has_the_share_of_all() -> None:
    core = Comparison(judge(latency(margin=1.0)))
    window = HistogramCounts(np.array([[160.0, 40.0]]), np.array([[1700.0, 100.0]]), np.ones(1, bool))
    state = core.update(core.start(1, {"latency": (0.1,)}), [window])
    part, metric = state.metrics[0], core.metric(0)
    assert isinstance(metric, LatencyMetric)
    assert (part.slots >= 0).sum() == 1
    bets = metric.rule.bets(part.shares, part.shares.phi(metric.share_prior))
    of_bound = float(metric.rule.log_evidence(part.shares, *log_evidence(bets, 1.0 - state.spent)).max())
    assert of_bound > 1.0
    half = math.log(0.5)
    weighed = core.weigh(state).metrics["latency"]
    assert float(weighed.without_scores[0]) == pytest.approx(np.logaddexp(of_bound + half, half))


def test_amounts_have_their_sign() -> None:
    assert (amount(-0.5), amount(-1500.0, "B"), amount(0.5, sign=True)) == ("-0.5", "-1,500 B", "+0.5")


def test_what_is_allowed_of_a_value_is_told_with_its_sign() -> None:
    for down, said in ((False, "allowed +0.1 cores)"), (True, "allowed -0.1 cores)")):
        metric = ValueMetric(1.1, 1.5, 0.0, down=down, suffix="cores")
        state = metric.start(1)
        for _ in range(12):
            state = metric.update(state, ValueMeans(np.ones(1), np.ones(1), np.ones(1, bool)), PACE)
        assert f"; {said} after 12 min" in metric.read(["cpu"], state, weigh(metric, state, 0.5), 0.01)[0].text


def test_the_relative_variance_is_that_of_the_plain_difference() -> None:
    rng = np.random.default_rng(6)
    baseline, noise = 2.0 + rng.standard_normal(40), 0.1 * rng.standard_normal(40)
    metric = ValueMetric(1.0, 1.5, 0.0)
    state = metric.start(1)
    for level, more in zip(baseline, noise, strict=True):
        state = metric.update(state, ValueMeans(np.array([level + more]), np.array([level]), np.ones(1, bool)), PACE)
    about = noise - noise.mean()
    spread, lagged = float((about**2).sum()), float((about[1:] * about[:-1]).sum())
    variance, _ = asymptotic.long_run(np.array(spread), np.array(lagged), np.array(40.0), np.array(1.0))
    expected = float(variance) / float(np.abs(baseline).mean()) ** 2
    assert float(metric.relative_variance(state)[0]) == pytest.approx(expected, rel=1e-6)


def test_the_noise_of_an_objective_is_measured_against_the_lowest_rate() -> None:
    metric = SloMetric(Slo(objective=0.99))
    limit = metric.margin * 0.01
    arms = (np.array([float(v)]) for v in (1000, 30, 9000, 10))
    canary, events, baseline, seconds = arms
    burning = np.ones((1, len(metric.slo.burn)), bool)
    state = metric.update(
        metric.start(1), SloCounts(canary, events, baseline, seconds, burning, np.ones(1, bool)), PACE
    )
    variance = 1000 * limit * (1 - limit)
    assert state.noise.sums[0, 0, :3].tolist() == pytest.approx([1.0, 30 - 1000 * limit, variance])


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), 0.0, -5.0])
def test_a_burn_window_has_a_length(seconds: float) -> None:
    burn = [BurnCounts.model_construct(seconds=seconds, total=5, events=1)]
    arm = ArmCounts.model_construct(total=5, events=1, buckets=None, values=None, burn=burn)
    counts = MetricCounts.model_construct(
        metric="slo", status="ok", canary=arm, baseline=arm, bounds=None, value=None, seconds=None, reason=""
    )
    with pytest.raises(InputError, match=r"^counts\.slo\.canary\.burn\[0\]\.seconds: .* is no length of a window"):
        read_windows([Metric(name="slo", kind="slo", slo=Slo(objective=0.99))], [counts], compare=True)
