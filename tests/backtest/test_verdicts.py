"""What is decided about a trace, and how it is told."""

from __future__ import annotations

import json

import numpy as np
import pytest

from coalmine.backtest import Rules, judge_traces
from coalmine.backtest.verdicts import Course
from tests.backtest.traces import buckets, draw, errors, latency, line, ratio, read, rules


def judged(rule: Rules, lines: list[str], *, all_looks: bool = False) -> Course:
    return judge_traces(rule, [read(lines, rule)], all_looks=all_looks)[0]


def clean(looks: int, start: int = 0, requests: int = 1000, weight: float = 10) -> list[str]:
    seen = {"errors": {"baseline": ratio(0, requests), "canary": ratio(0, round(requests * weight / (100 - weight)))}}
    return [line(start + look, seen, weight) for look in range(looks)]


def test_harm_rolls_back_at_the_look_it_shows_and_later_looks_change_nothing() -> None:
    rng = np.random.default_rng(1)
    lines = draw(rng, 12, canary=lambda look: 0.004 if look < 5 else 0.1, weight=lambda look: 50)
    course = judged(rules(errors(), latency()), lines)
    assert course.decision == "roll_back"
    assert course.look in (5, 6, 7)
    assert course.reason.startswith("harm: errors: canary")
    kept = judged(rules(errors(), latency()), lines, all_looks=True)
    assert (kept.decision, kept.look, kept.reason) == (course.decision, course.look, course.reason)
    assert [one.look for one in kept.looks] == list(range(12))


def test_a_dead_canary_is_rolled_back_at_the_first_look() -> None:
    course = judged(rules(), [line(0, {"errors": {"baseline": ratio(2, 1980), "canary": ratio(20, 20)}}, 1)])
    assert (course.decision, course.look) == ("roll_back", 0)
    assert course.as_json(all_looks=False)["metrics"]["errors"]["verdict"] == "fail"


def test_promotion_comes_at_the_last_look_only() -> None:
    course = judged(rules(), clean(60), all_looks=True)
    assert (course.decision, course.look) == ("promote", 59)
    first = next(one.look for one in course.looks if one.conclusion.finding == "no_harm")
    assert first < 30
    assert course.canary_requests() == {"errors": 60 * 111}


def test_too_little_evidence_holds_without_a_look() -> None:
    course = judged(rules(), clean(3))
    assert (course.decision, course.look) == ("hold", None)
    assert course.reason == "inconclusive: no harm is not shown yet for errors"
    assert course.canary_requests() == {"errors": 333}
    assert course.as_json(all_looks=False)["metrics"]["errors"]["verdict"] == "inconclusive"


def test_data_that_stops_does_not_promote_and_is_no_alarm() -> None:
    course = judged(rules(), [*clean(60), *(line(look, {}) for look in range(60, 200))])
    assert (course.decision, course.look) == ("hold", None)
    assert "'errors' has no data" in course.reason
    back = judged(rules(), [*clean(60), *(line(look, {}) for look in range(60, 200)), *clean(2, start=200)])
    assert (back.decision, back.look) == ("promote", 201)


def test_a_wrong_sample_ratio_holds_where_it_shows() -> None:
    seen = {"errors": {"baseline": ratio(5, 1700), "canary": ratio(1, 300)}}
    course = judged(rules(), [line(look, seen, 10) for look in range(9)])
    assert course.decision == "hold"
    assert course.look is not None
    assert "the sample ratio is off: the canary got 15.0 % of" in course.reason
    unknown = judged(rules(), [line(look, seen, None) for look in range(9)])
    assert unknown.look is None


def test_small_harm_without_history_holds_and_a_signal_too() -> None:
    rng = np.random.default_rng(3)
    lines = draw(rng, 60, canary=lambda look: 0.018, baseline=0.01, weight=lambda look: 50, kinds=["errors"])
    course = judged(rules(), lines)
    assert course.decision == "hold"
    assert course.look is not None
    assert "a human decides" in course.reason
    assert judged(rules(no_history="roll_back"), lines).decision == "roll_back"
    lines = draw(rng, 9, slower=3.0)
    held = judged(rules(errors(), latency(role="signal")), lines)
    assert held.decision == "hold"
    assert held.look is not None
    assert held.reason.startswith("a signal fails: latency")


def test_json_has_exactly_what_the_page_says() -> None:
    rng = np.random.default_rng(5)
    course = judged(rules(errors(), latency()), draw(rng, 4), all_looks=True)
    told = course.as_json(all_looks=False)
    assert list(told) == ["trace", "decision", "look", "canary_requests", "metrics"]
    assert list(told["metrics"]) == ["errors", "latency"]
    assert {key for metric in told["metrics"].values() for key in metric} == {
        "verdict", "effect", "lower", "upper", "reason",
    }  # fmt: skip
    assert (
        told["metrics"]["latency"]["lower"] < told["metrics"]["latency"]["effect"] < told["metrics"]["latency"]["upper"]
    )
    looks = course.as_json(all_looks=True)["looks"]
    assert [one["look"] for one in looks] == [0, 1, 2, 3]
    assert looks[-1]["metrics"] == told["metrics"]
    assert looks[1]["at"] == "2026-01-01T00:00:10Z"
    json.dumps(looks, allow_nan=False)


@pytest.mark.parametrize("seen", [
    {"baseline": ratio(0, 0), "canary": ratio(0, 0)},
    {"baseline": ratio(1, 1), "canary": ratio(1, 1)},
    {"baseline": ratio(0, 1), "canary": ratio(1, 1)},
    {"baseline": ratio(10**12, 10**12), "canary": ratio(10**12, 10**12)},
    {"baseline": ratio(0, 10**12), "canary": ratio(0, 10**11)},
    {"baseline": ratio(3, 10**12), "canary": ratio(10**11, 10**11)},
    {"baseline": ratio(0, 0), "canary": ratio(5, 10)},
    {"baseline": ratio(5, 10), "canary": ratio(0, 0)},
])  # fmt: skip
@pytest.mark.parametrize("weight", [0, 0.01, 50, 100, None])
def test_extreme_traces_get_a_decision(seen: dict[str, dict[str, int]], weight: float | None) -> None:
    course = judged(rules(), [line(look, {"errors": seen}, weight) for look in range(4)], all_looks=True)
    assert course.decision in ("promote", "roll_back", "hold")
    json.dumps(course.as_json(all_looks=True), allow_nan=False)


@pytest.mark.parametrize(
    "canary", [[0, 0, 0], [5, 0, 0], [0, 0, 5], [10**12, 0, 0], [0, 10**12, 10**12], [1, 10**12, 0]]
)
@pytest.mark.parametrize("baseline", [[0, 0, 0], [7, 0, 0], [0, 0, 10**12], [10**12, 1, 0]])
def test_extreme_histograms_get_a_decision(canary: list[int], baseline: list[int]) -> None:
    seen = {"latency": {"canary": buckets(canary, [0.1, 1.0]), "baseline": buckets(baseline, [0.1, 1.0])}}
    course = judged(rules(latency()), [line(look, seen) for look in range(5)], all_looks=True)
    assert course.decision in ("promote", "roll_back", "hold")
    json.dumps(course.as_json(all_looks=True), allow_nan=False)
