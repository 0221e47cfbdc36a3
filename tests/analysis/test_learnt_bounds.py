"""A history says which bound its noise was learnt at, and the judge watches that bound while it may."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine.analysis import latency as histograms
from coalmine.analysis import summarise_history
from coalmine.analysis.channels import level
from coalmine.analysis.comparison import Comparison, prior_of
from coalmine.analysis.dispersion import Prior
from coalmine.analysis.forecast.course import Stretch
from coalmine.analysis.forecast.outlook import Level, Outlook
from coalmine.analysis.latency import UNUSED, choose_bounds, places
from coalmine.analysis.metrics import HistogramCounts, LatencyMetric, LatencyState
from coalmine.analysis.prepared import comparison_of
from coalmine.records import ChannelHistory, Judge, MetricCounts, ServiceHistory
from coalmine.spec.metrics import Metric
from tests.analysis.looks import errors, fold, histogram, history, judge, latency, look, objective

SLOTS = ("above_p97", "above_p999", "above_p90")
MIDDLE = [900, 60, 30, 8, 2]
"""Of 1,000: 100 above the first bound, 40 above the second, 10 above the third, 2 above the last."""
STEPS = [0.1, 0.2, 0.4, 0.8]


def learnt(at: Mapping[str, float | None], tau2: float = 0.0, name: str = "latency") -> ServiceHistory:
    """A history whose channels were learnt at these bounds."""
    channels = dict.fromkeys(("normal", "savage", *SLOTS), ChannelHistory(tau2=tau2))
    with_bounds = {slot: ChannelHistory(tau2=tau2, bound=bound) for slot, bound in at.items()}
    return ServiceHistory(looks=120, channels={name: channels | with_bounds, "errors": {"events": channels["normal"]}})


def watched(plan: Judge, counts: MetricCounts) -> list[float | None]:
    """Bounds that are watched after one look, in seconds."""
    core = comparison_of(plan)
    part = core.metric(0)
    assert isinstance(part, LatencyMetric)
    bounds = tuple(counts.bounds or ())
    assert counts.canary is not None
    assert counts.baseline is not None
    canary, baseline = (np.array([arm.buckets]) for arm in (counts.canary, counts.baseline))
    window = HistogramCounts(canary, baseline, np.ones(1, bool))
    state = core.update(core.start(1, {"latency": bounds}), [window]).metrics[0]
    assert isinstance(state, LatencyState)
    return [None if slot == UNUSED else bounds[slot] for slot in state.slots[0].tolist()]


def test_a_history_says_the_bound_of_every_channel() -> None:
    known = history(errors(), latency(objective=objective(0.12, 0.5)))
    bounds = {name: channel.bound for name, channel in known.channels["latency"].items()}
    assert bounds == {
        "normal": None,
        "savage": None,
        "above_objective": 0.1,
        "above_p97": 0.25,
        "above_p999": 0.5,
        "above_p90": 0.25,
    }
    assert known.channels["errors"]["events"].bound is None
    # Nothing is above any bound, and no bound is at or below the objective.
    still = histogram([9, 0], [90, 0], [0.1])
    strict = latency(objective=objective(0.05, 0.5))
    channels = summarise_history([[still]] * 70, 10.0, [strict]).channels["latency"]
    assert [channels[name].bound for name in ("above_objective", *SLOTS)] == [None] * 4


def test_of_two_bounds_as_near_to_p97_the_one_with_more_events_is_learnt() -> None:
    # Above 0.2 s are 5 %, above 0.4 s 1.9 %: 0.53 and 0.47 from p97 in the logit. Above 0.1 s and 0.8 s: 15 and 0.3 %.
    pooled = [8500, 1000, 310, 160, 30]
    assert choose_bounds(np.array(pooled), None, distinct=False).tolist() == [2, 3, 0]
    assert choose_bounds(np.array(pooled), None, distinct=False, leaning=1.5).tolist() == [1, 3, 0]
    known = summarise_history([[histogram(pooled, pooled, STEPS)]] * 60, 10.0, [latency()]).channels["latency"]
    assert [known[slot].bound for slot in SLOTS] == [0.2, 0.8, 0.1]
    # Where the other is much nearer, it stays: 7 % and 2.2 %.
    nearer = [8000, 1300, 480, 210, 10]
    assert choose_bounds(np.array(nearer), None, distinct=False, leaning=1.5).tolist() == [2, 3, 1]


def test_bounds_are_found_again_whatever_their_text_went_through() -> None:
    asked = np.array([[0.25, 0.1 + 0.2, math.nan], [0.05, 9.0, 0.1]])
    assert places([0.1, 0.25000000000000006, 0.3], asked).tolist() == [[1, 2, -1], [-1, -1, 0]]
    assert places([], asked).tolist() == [[-1] * 3] * 2


@pytest.mark.parametrize(
    ("own", "chosen"),
    [
        # p97 lies between 0.2 (4 % above) and 0.4 (1 %), p99.9 above 0.8 (0.2 %), p90 at 0.1 (10 %).
        ([-1, -1, -1], [1, 3, 0]),
        ([1, 3, 0], [1, 3, 0]),
        ([2, 3, 0], [2, 3, 0]),
        # Not beside the quantile any more: the nearest.
        ([0, 3, 0], [1, 3, 0]),
        ([3, 2, 2], [1, 3, 0]),
        # An earlier slot watches it already: the nearest, and none if that is taken as well.
        ([2, 3, 1], [2, 3, 1]),
        ([1, 3, 1], [1, 3, 0]),
        ([-1, 3, 1], [1, 3, 0]),
    ],
)
def test_a_bound_stays_while_the_quantile_is_beside_it(own: list[int], chosen: list[int]) -> None:
    assert choose_bounds(np.array(MIDDLE), None, learnt=np.array(own)).tolist() == chosen
    # Of many requests as of few, of each run of a batch, and beside an objective that has a bound of its own.
    many = np.array([MIDDLE, MIDDLE]) * 1000
    assert choose_bounds(many, None, learnt=np.array([own, [-1] * 3])).tolist() == [chosen, [1, 3, 0]]
    further = [-1, *(place + 1 if place >= 0 else -1 for place in own)]
    with_objective = choose_bounds(np.array([0, *MIDDLE]), 0, learnt=np.array(further))
    assert with_objective.tolist() == [0, *(slot + 1 for slot in chosen)]


def test_a_bound_that_splits_nothing_is_not_kept() -> None:
    # 3 % lies between 0.2 and 0.4, but nothing is above 0.4; nor is anything below 0.1.
    pooled = np.array([0, 960, 40, 0, 0])
    assert choose_bounds(pooled, None, distinct=False, learnt=np.array([2, 2, 0])).tolist() == [1, 1, 1]
    assert choose_bounds(np.array([5]), None, learnt=np.array([-1, -1, -1])).tolist() == [-1, -1, -1]
    assert choose_bounds(np.array([0, 0]), None, learnt=np.array([0, 0, 0])).tolist() == [-1, -1, -1]


def test_a_taken_bound_leaves_the_nearest_and_a_taken_nearest_none() -> None:
    # p90 is between 0.1 (20 %) and 0.2 (5 %): learnt at 0.2, which p97 has; 0.1 is farther than 0.2 here.
    pooled = np.array([8000, 1500, 470, 20, 10])
    assert choose_bounds(pooled, None).tolist() == [1, 3, UNUSED]
    assert choose_bounds(pooled, None, learnt=np.array([1, -1, 1])).tolist() == [1, 3, UNUSED]
    assert choose_bounds(pooled, None, learnt=np.array([1, -1, 0])).tolist() == [1, 3, 0]
    # The objective's bound comes first.
    assert choose_bounds(pooled, 1, learnt=np.array([-1, 1, -1, -1])).tolist()[:2] == [1, UNUSED]


@given(
    st.lists(st.integers(0, 500), min_size=5, max_size=5),
    st.lists(st.integers(0, 500), min_size=5, max_size=5),
    st.lists(st.integers(-1, 3), min_size=3, max_size=3),
)
@settings(max_examples=60, deadline=None)
def test_what_is_watched_depends_on_both_arms_together_alone(
    canary: list[int], baseline: list[int], own: list[int]
) -> None:
    at = {slot: None if place < 0 else STEPS[place] for slot, place in zip(SLOTS, own, strict=True)}
    plan = judge(latency(), history=learnt(at))
    there = watched(plan, histogram(canary, baseline, STEPS))
    assert watched(plan, histogram(baseline, canary, STEPS)) == there
    pooled = [sum(pair) for pair in zip(canary, baseline, strict=True)]
    assert watched(plan, histogram(pooled, [0] * 5, STEPS)) == there
    over = histograms.above(np.array(pooled))
    share = (over + 0.5) / (sum(pooled) + 1)
    for bound, mine, wanted in zip(there, at.values(), (0.03, 0.001, 0.1), strict=True):
        if bound is None:
            continue
        place = STEPS.index(bound)
        assert 0 < over[place] < sum(pooled)
        between = [one for one in range(4) if 0 < over[one] < sum(pooled) and abs(share[one] - wanted) > 0]
        sides = [max((one for one in between if share[one] > wanted), default=None)]
        sides += [min((one for one in between if share[one] <= wanted), default=None)]
        nearest = min(
            between, key=lambda one: abs(math.log(share[one] / (1 - share[one])) - math.log(wanted)), default=0
        )
        assert bound == mine or place in sides or place == nearest


def test_the_judge_watches_the_bound_its_history_speaks_of() -> None:
    counts = histogram(MIDDLE, [9 * number for number in MIDDLE], STEPS)
    assert watched(judge(latency()), counts) == [0.2, 0.8, 0.1]
    assert watched(judge(latency(), history=learnt({})), counts) == [0.2, 0.8, 0.1]
    assert watched(judge(latency(), history=learnt({"above_p97": 0.4})), counts) == [0.4, 0.8, 0.1]
    assert watched(judge(latency(), history=learnt({"above_p97": 0.8})), counts) == [0.2, 0.8, 0.1]
    assert watched(judge(latency(), history=learnt({"above_p97": 0.3})), counts) == [0.2, 0.8, 0.1]
    few = learnt({"above_p97": 0.4}).model_copy(update={"looks": 59})
    assert watched(judge(latency(), history=few), counts) == [0.2, 0.8, 0.1]
    said = look(judge(latency(), history=learnt({"above_p97": 0.4})), [counts], share=0.1).verdicts[0]
    assert "above 400 ms" in said.sentence


def test_a_history_that_does_not_say_it_changes_no_byte() -> None:
    """Histories of earlier versions have no field for it."""
    whole = history(errors(), latency())
    old = json.loads(whole.model_dump_json())
    for channel in old["channels"]["latency"].values():
        del channel["bound"]
    before, none = ServiceHistory.model_validate(old), whole.model_copy(deep=True)
    for channel in none.channels["latency"].values():
        channel.bound = None
    rng = np.random.default_rng(4)
    arms = [rng.multinomial(number, np.array(MIDDLE) / 1000).tolist() for number in (90, 700)]
    rows = [[histogram(arms[0], arms[1], STEPS)]] * 6
    answers = [
        [one.model_dump_json() for one in fold(judge(latency(), history=known), rows, share=0.1)]
        for known in (before, none)
    ]
    assert answers[0] == answers[1]
    assert prior_of(judge(history=before), latency()).bounds is None


def test_where_another_bound_is_watched_it_is_not_taken_for_quieter_than_the_quantile() -> None:
    counts = histogram(MIDDLE, [9 * number for number in MIDDLE], STEPS)
    arms = [np.array([arm.buckets]) for arm in (counts.canary, counts.baseline) if arm is not None]

    def phi(at: dict[str, float | None]) -> tuple[Any, Any]:
        core = Comparison(judge(latency(), history=learnt(at, tau2=0.2)))
        part = core.metric(0)
        state: Any = core.start(1, {"latency": tuple(STEPS)})
        for _ in range(3):
            state = core.update(state, [HistogramCounts(arms[0], arms[1], np.ones(1, bool))])
        assert isinstance(part, LatencyMetric)
        held = state.metrics[0]
        weighed = core.weigh(state).metrics["latency"]
        assert weighed.phi is not None
        assert (weighed.phi == part.share_phi(held)).all()
        return part.share_phi(held)[0], held

    plain, held = phi({})
    assert held.slots.tolist() == [[1, 3, 0]]
    # p97 is watched at 0.2 (4 % above), p99.9 at 0.8 (0.2 %), p90 at 0.1 (10 % and half a request).
    rates = level(held.shares.totals)[0]
    assert rates == pytest.approx([0.04 * 0.96, 0.002 * 0.998, 0.1 * 0.9], rel=1e-2)
    same, _ = phi({"above_p97": 0.2, "above_p999": 0.8, "above_p90": 0.1})
    assert same.tolist() == plain.tolist()
    # Those of other bounds are as noisy as at their quantiles, where that is more: 0.03 and 0.001 are less.
    moved, _ = phi({"above_p97": 0.8, "above_p999": 0.1, "above_p90": 0.4})
    assert moved == pytest.approx(plain, rel=5e-3)
    counts = histogram([900, 90, 7, 2, 1], [8100, 810, 63, 18, 9], STEPS)
    arms = [np.array([arm.buckets]) for arm in (counts.canary, counts.baseline) if arm is not None]
    plain, held = phi({})
    assert held.slots[0, 0] == 1
    assert level(held.shares.totals)[0, 0] == pytest.approx(0.01, rel=2e-2)
    moved, held = phi({"above_p97": 0.8})
    assert held.slots[0, 0] == 1
    excess = held.shares.noise.information()[0, 0] * 1.25 * 0.2
    looks, weight = 0.0, 120.0
    assert moved[0] == pytest.approx((weight * (1 + excess * 0.03 * 0.97) + looks) / (weight + looks), rel=1e-9)
    assert moved[0] > plain[0]
    assert moved[1:].tolist() == plain[1:].tolist()


def test_a_batch_watches_what_each_run_alone_watches() -> None:
    counts = histogram(MIDDLE, [9 * number for number in MIDDLE], STEPS)
    arms = [np.array([arm.buckets] * 3) for arm in (counts.canary, counts.baseline) if arm is not None]
    own = [0.4, math.nan, 0.8]
    bounds = np.full((3, 5), math.nan)
    bounds[:, 2] = own
    prior = Prior(np.full((3, 5), 0.2), np.ones(5, bool), 120.0, bounds)
    core = Comparison(judge(latency()), {"latency": prior})
    state: Any = core.start(3, {"latency": tuple(STEPS)})
    windows = [HistogramCounts(arms[0], arms[1], np.ones(3, bool))]
    state = core.update(core.update(state, windows), windows)
    assert state.metrics[0].slots[:, 0].tolist() == [2, 1, 1]
    for run, bound in enumerate(own):
        at = {} if math.isnan(bound) else {"above_p97": bound}
        alone = Comparison(judge(latency(margin=1.2), history=learnt(at, tau2=0.2)))
        one: Any = alone.start(1, {"latency": tuple(STEPS)})
        window = [HistogramCounts(arms[0][:1], arms[1][:1], np.ones(1, bool))]
        one = alone.update(alone.update(one, window), window)
        assert one.metrics[0].slots.tolist() == state.metrics[0].slots[run : run + 1].tolist()
        phi = core.weigh(state).metrics["latency"].phi
        expected = alone.weigh(one).metrics["latency"].phi
        assert phi is not None
        assert expected is not None
        assert phi[run].tolist() == expected[0].tolist()
    assert prior.of(np.array([2, 0])).bounds is not None
    few = prior.of(np.array([2, 0]))
    assert few.bounds is not None
    assert few.bounds[:, 2].tolist() == [0.8, 0.4]
    assert few.tau2.shape == (2, 5)


def called(name: str, **options: Any) -> Metric:
    return latency(**options).model_copy(update={"name": name})


def test_a_forecast_is_of_the_bound_the_judge_will_watch() -> None:
    level, metric = Level(np.array(MIDDLE) / 1000, tuple(STEPS)), latency()
    for bound, place in ((None, 1), (0.4, 2), (0.8, 1)):
        outlook = Outlook(judge(metric, history=learnt({"above_p97": bound})), 1_000, {"latency": level})
        assert outlook.watched(metric) == place
    told = [
        outlook.no_harm(metric, outlook.course([Stretch(60, 0.5)])).looks(0.5)
        for outlook in (
            Outlook(judge(metric, history=learnt({"above_p97": bound})), 1_000, {"latency": level})
            for bound in (0.2, 0.4)
        )
    ]
    # Four times fewer events take longer.
    assert told[0] is not None
    assert told[1] is None or told[1] > told[0]


def test_metrics_with_bounds_of_their_own_are_judged_together_as_alone_in_any_order() -> None:
    metrics = [called("a"), called("b"), called("c", margin=1.3), errors()]
    at: list[dict[str, float | None]] = [{"above_p97": 0.4}, {"above_p97": 0.2, "above_p90": 0.2}, {}]
    channels = {
        name: learnt(bounds, 0.1, name).channels[name] for name, bounds in zip("abc", at, strict=True)
    } | learnt({}).channels
    known = ServiceHistory(looks=120, channels=channels)
    rng = np.random.default_rng(6)
    rows = []
    for _ in range(8):
        arms = [rng.multinomial(n, np.array(MIDDLE) / 1000).tolist() for n in (90, 800)]
        row = [histogram(arms[0], arms[1], STEPS).model_copy(update={"metric": name}) for name in "abc"]
        rows.append(row)
    orders = ([0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2])
    answers = [
        fold(judge(*(metrics[place] for place in order), history=known), [row[::-1] for row in rows], share=0.1)
        for order in orders
    ]
    for looks in zip(*answers, strict=True):
        said = [sorted(one.model_dump_json() for one in answer.verdicts) for answer in looks]
        assert said[0] == said[1] == said[2]
        assert len({(one.finding, one.reason, one.log_e_harm) for one in looks}) == 1
    panels = [panel.members for panel in Comparison(judge(*metrics, history=known)).start(1, {}).panels]
    assert panels == [(0, 1), (2,), (3,)]
    for place, name in enumerate("abc"):
        alone = judge(metrics[place], history=known.model_copy(update={"channels": {name: channels[name]}}))
        found = fold(alone, [[row[place]] for row in rows], share=0.1)[-1].verdicts[0]
        assert found.sentence == next(one for one in answers[0][-1].verdicts if one.metric == name).sentence


def test_evidence_stays_valid_when_bounds_change_under_way() -> None:
    """No fault, few requests a look: bounds are chosen anew until they settle, and others are there half-way."""
    runs, looks = 400, 40
    rng = np.random.default_rng(12)
    bounds = np.full((runs, 5), math.nan)
    bounds[:, 2] = np.where(np.arange(runs) % 2, 0.25, 0.5)
    prior = Prior(np.zeros((runs, 5)), np.ones(5, bool), bounds=bounds)
    core = Comparison(judge(latency(margin=1.0, no_harm=1.0001), planned=looks), {"latency": prior})
    shares = np.diff([0.0, 0.05, 0.5, 0.94, 0.985, 0.998, 1.0])
    fine, coarse = (0.05, 0.1, 0.25, 0.5, 1.0), (0.05, 0.1, 0.5, 1.0)
    state = core.start(runs, {"latency": fine})
    highest = np.full(runs, -np.inf)
    seen: set[int] = set()
    for number in range(looks):
        arms = [rng.multinomial(n, shares, runs) for n in (40, 80)]
        if number == 8:
            state = core.with_bounds(state, {0: coarse})
        if number >= 8:
            arms = [np.concatenate([a[:, :2], a[:, 2:4].sum(1, keepdims=True), a[:, 4:]], axis=1) for a in arms]
        state = core.update(state, [HistogramCounts(arms[0], arms[1], np.ones(runs, bool))])
        held = state.metrics[0]
        assert isinstance(held, LatencyState)
        seen |= set(held.slots[:, 0].tolist())
        weighed = core.weigh(state)
        highest = np.maximum(highest, weighed.harm)
    assert len(seen) > 1
    # Ville: evidence ever reaches x with a chance of at most 1/x.
    for times in (3, 5, 10, 20):
        assert np.mean(highest >= math.log(times)) <= 1 / times
    assert np.mean(np.exp(weighed.harm)) <= 1.2
