"""Kinds that are judged window by window: the engine says of them what the workflow's judge says, look by look."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest

from coalmine.backtest import Course, Rules, history_of, judge_traces
from coalmine.backtest.past import observation_of
from coalmine.errors import InputError
from coalmine.spec.metrics import Limits, Metric, Slo
from tests.backtest.traces import TEN, errors, latency, line, one_by_one, ratio, read, rules

CPU = Metric(name="cpu", kind="value", tolerance=0.01)
RESTARTS = Metric(name="restarts", kind="count", tolerance=1.0)
SLO = Metric(name="slo", kind="slo", slo=Slo(objective=0.99, budget=0.5))
QUEUE = Metric(name="queue", kind="threshold", limits=Limits(max=100.0, failures=3))
ALL = [CPU, RESTARTS, SLO, QUEUE]


def observed(rng: np.random.Generator, metric: Metric, worse: float) -> dict[str, Any]:
    """One look of a metric whose canary is so many times as bad."""
    if metric.kind == "threshold":
        return {"value": float(60.0 * worse + 10.0 * rng.standard_normal())}
    arms: dict[str, Any] = {}
    for name, factor, requests in (("canary", worse, 200), ("baseline", 1.0, 1800)):
        if metric.kind == "value":
            arms[name] = {"values": [float(v) for v in 0.4 * factor + 0.02 * rng.standard_normal(requests // 100)]}
        elif metric.kind == "count":
            arms[name] = {"events": int(rng.poisson(requests * factor / 100))}
        else:
            bad = int(rng.binomial(requests, min(0.005 * factor**4, 1.0)))
            burn = [
                {"seconds": length, "events": int(length) * bad, "total": int(length) * requests} for length in WINDOWS
            ]
            arms[name] = {"events": bad, "total": requests, "burn": burn}
    return arms


WINDOWS = sorted(
    {length.total_seconds() for burn in (SLO.slo.burn if SLO.slo else ()) for length in (burn.long, burn.short)}
)


def drawn(seed: int, metrics: list[Metric], looks: int, worse: float = 1.0, *, holes: bool = False) -> list[str]:
    rng, chance = np.random.default_rng(seed), random.Random(seed)
    lines = []
    for look in range(looks):
        seen = {metric.name: observed(rng, metric, worse) for metric in metrics}
        weight: float | None = 10
        if holes:
            for metric in metrics:
                lack = chance.choice(["", "", "", "metric", "null", "arm", "nothing"])
                if lack == "metric":
                    del seen[metric.name]
                elif lack == "null":
                    seen[metric.name] = None  # type: ignore[assignment]
                elif lack == "arm" and metric.kind != "threshold":
                    seen[metric.name][chance.choice(["canary", "baseline"])] = None
                elif lack == "nothing" and metric.kind == "value":
                    seen[metric.name]["canary"] = {"values": []}
                elif metric.kind == "value":
                    # Instances come and go.
                    for arm in seen[metric.name].values():
                        arm["values"] += [0.4 + 0.02 * chance.random() for _ in range(chance.randrange(3))]
                elif lack == "nothing" and metric.kind == "slo":
                    seen[metric.name]["canary"] = {"events": 0, "total": 0}
            weight = chance.choice([10, 10, 10, None, 20])
        lines.append(line(look, seen, weight))
    return lines


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.kind)
@pytest.mark.parametrize(("worse", "holes"), [(1.0, False), (3.0, False), (1.5, True)])
def test_the_engine_says_what_the_judge_says(metric: Metric, worse: float, holes: bool) -> None:
    rule = rules(metric, no_history="roll_back")
    looks = 80 if metric.kind == "value" else 25
    traces = [
        read(drawn(seed, [metric], looks, worse, holes=holes), rule, f"{metric.kind}-{seed}-{worse}.jsonl")
        for seed in (1, 2)
    ]
    for course in judge_traces(rule, traces, all_looks=True):
        identical(course, rule)
        if worse == 3.0:
            assert course.decision == "roll_back"


def identical(course: Course, rules: Rules) -> None:
    """Every look of a course is what ``evaluate`` says of it, byte for byte."""
    told = one_by_one(rules, course.trace)
    assert len(course.looks) == len(told)
    for judged, evaluation in zip(course.looks, told, strict=True):
        found = judged.conclusion
        assert (found.finding, found.reason) == (evaluation.finding, evaluation.reason)
        assert found.log_e_harm == evaluation.log_e_harm
        assert [one.model_dump_json() for one in found.verdicts] == [
            one.model_dump_json() for one in evaluation.verdicts
        ]


@pytest.mark.parametrize(
    "metric",
    [
        *ALL,
        SLO.model_copy(update={"slo": Slo(objective=0.99, budget=1e-7)}),
        QUEUE.model_copy(update={"role": "signal"}),
        QUEUE.model_copy(update={"limits": Limits(max=100.0, failures=3, consecutive=True)}),
    ],
    ids=lambda metric: f"{metric.kind}-{metric.role}",
)
def test_the_decision_falls_at_the_same_look_whether_or_not_looks_are_kept(metric: Metric) -> None:
    """Also of what a later look no longer shows: three answers in a row beyond a limit, and then all is well."""
    rule = rules(metric, no_history="roll_back")
    files = [drawn(seed, [metric], 70, worse) for seed, worse in ((1, 1.0), (2, 2.0), (3, 4.0))]
    files.append([*drawn(4, [metric], 5), *drawn(5, [metric], 20, 3.0)[5:], *drawn(6, [metric], 70)[20:]])
    traces = [read(lines, rule, f"{number}.jsonl") for number, lines in enumerate(files)]
    quick, kept = (
        [course.as_json(all_looks=False) for course in judge_traces(rule, traces, all_looks=all_looks)]
        for all_looks in (False, True)
    )
    assert quick == kept
    assert [one["decision"] for one in kept[1:3]] == ["hold" if metric.role == "signal" else "roll_back"] * 2
    if metric.limits is not None:
        assert kept[3]["look"] == 7


def test_all_kinds_together() -> None:
    metrics = [*ALL, errors(), latency(), errors().model_copy(update={"name": "more errors"})]
    rule = rules(*metrics, no_history="roll_back")
    rng = np.random.default_rng(4)
    lines = []
    for look, text in enumerate(drawn(9, ALL, 20, holes=True)):
        seen = json.loads(text)["observations"]
        for name in ("errors", "more errors"):
            seen[name] = {
                "canary": ratio(int(rng.binomial(200, 0.01)), 200),
                "baseline": ratio(int(rng.binomial(1800, 0.01)), 1800),
            }
        lines.append(line(look, seen))
    first = judge_traces(rule, [read(lines, rule)], all_looks=True)[0]
    identical(first, rule)
    turned = Rules(list(reversed(rule.metrics)), rule.policy)
    again = judge_traces(turned, [read(lines, turned)], all_looks=True)[0]
    assert json.dumps(again.as_json(all_looks=True)) == json.dumps(first.as_json(all_looks=True))


def test_a_history_of_instances_and_events_is_learnt() -> None:
    rule = rules(CPU, RESTARTS)
    history = history_of(read(drawn(3, [CPU, RESTARTS], 90), rule), rule.metrics)
    assert history.looks == 90
    assert set(history.channels) == {"cpu", "restarts"}


def test_a_window_is_as_long_as_it_says_or_as_the_trace_shows() -> None:
    rule = rules(RESTARTS)
    seen = {"restarts": {"canary": {"events": 1}, "baseline": {"events": 9}}}
    told = {"restarts": seen["restarts"] | {"seconds": 3.5}}
    trace = read([line(0, seen), line(1, told), line(4, seen)], rule)
    assert [counts.seconds for look in range(3) for counts in trace.counts(look)] == [20.0, 3.5, 30.0]
    alone = read([line(0, seen)], rule)
    assert [counts.seconds for counts in alone.counts(0)] == [None]


def test_what_was_reported_is_read_back() -> None:
    rule = rules(*ALL)
    trace = read(drawn(5, ALL, 3), rule)
    for look in range(3):
        reported = {counts.metric: counts for counts in trace.counts(look)}
        seen = {metric.name: observation_of(reported[metric.name], metric.kind) for metric in ALL}
        again = read([line(look, seen)], rule)
        assert again.counts(0) == trace.counts(look)


@pytest.mark.parametrize(
    ("metric", "observation", "said"),
    [
        (CPU, {"canary": {"value": 1}, "baseline": None}, "cpu.canary.values: is missing: a value is"),
        (CPU, {"canary": {"values": 1}, "baseline": None}, "cpu.canary.values: 1 is no list"),
        (CPU, {"canary": {"values": [0.5, True]}}, "cpu.canary.values[1]: true is no number"),
        (CPU, {"baseline": {"values": ["0.5"]}}, "cpu.baseline.values[0]: '0.5' is no number"),
        (CPU, {"canary": {"values": [1e101]}, "baseline": {"values": [1]}}, "cpu.canary.values[0]: 1e+101 is beyond"),
        (CPU, [0.5], "cpu: [0.5] is no object"),
        (CPU, {"canary": 3}, "cpu.canary: 3 is no object of counts, nor null"),
        (CPU, {"canary": {"values": [1]}, "seconds": 0}, "cpu.seconds: 0 is no length of a window"),
        (CPU, {"canary": {"values": [1]}, "seconds": 1e300}, "cpu.seconds: 1e+300 is over a year"),
        (CPU, {"canary": {"values": [1]}, "seconds": "10s"}, "cpu.seconds: '10s' is no number"),
        (RESTARTS, {"canary": {"total": 3}}, 'restarts.canary.events: is missing: a count is {"events": ...}'),
        (RESTARTS, {"canary": {"events": -1}}, "restarts.canary.events: -1 is negative"),
        (RESTARTS, {"canary": {"events": 1.5}}, "restarts.canary.events: 1.5 is no count"),
        (SLO, {"canary": {"events": 3}}, "slo.canary.total: is missing"),
        (SLO, {"canary": {"events": 3, "total": 2}}, "slo.canary.events: 3 events are more than the total"),
        (SLO, {"canary": {"events": 1, "total": 2, "burn": 5}}, "slo.canary.burn: 5 is no list of windows"),
        (SLO, {"canary": {"events": 1, "total": 2, "burn": [5]}}, "slo.canary.burn[0]: 5 is no window"),
        (
            SLO,
            {"canary": {"events": 1, "total": 2, "burn": [{"events": 1, "total": 2}]}},
            "slo.canary.burn[0].seconds: is missing",
        ),
        (
            SLO,
            {"canary": {"events": 1, "total": 2, "burn": [{"seconds": -1, "events": 1, "total": 2}]}},
            "slo.canary.burn[0].seconds: -1 is no length of a window",
        ),
        (QUEUE, 5, "queue: 5 is no object"),
        (QUEUE, {"values": [5]}, 'queue.value: is missing: a threshold is {"value": ...}'),
        (QUEUE, {"value": "high"}, "queue.value: 'high' is no number"),
    ],
)
def test_what_cannot_be_is_refused_at_its_place(metric: Metric, observation: Any, said: str) -> None:
    with pytest.raises(InputError) as refused:
        read([line(0, {metric.name: observation})], rules(metric))
    assert str(refused.value).startswith(f"trace.jsonl:1: observations.{said}")


def test_a_number_beyond_a_double_is_refused() -> None:
    text = line(0, {"queue": {"value": 5}}).replace('"value": 5', '"value": 1e400')
    with pytest.raises(InputError, match=r"^trace.jsonl:1: observations.queue.value: inf is no number"):
        read([text], rules(QUEUE))


@pytest.mark.parametrize(
    ("metric", "observation", "place"),
    [
        (QUEUE, {"value": 10**400}, "queue.value"),
        (CPU, {"canary": {"values": [-(10**400)]}}, "cpu.canary.values[0]"),
        (CPU, {"canary": {"values": [1]}, "seconds": 10**400}, "cpu.seconds"),
    ],
)
def test_a_whole_number_beyond_a_double_is_refused(metric: Metric, observation: Any, place: str) -> None:
    with pytest.raises(InputError) as refused:
        read([line(0, {metric.name: observation})], rules(metric))
    assert str(refused.value).startswith(f"trace.jsonl:1: observations.{place}: ")
    assert "is no number" in str(refused.value)


def test_a_null_answer_is_missing() -> None:
    rule = rules(QUEUE)
    course = judge_traces(rule, [read([line(0, {"queue": {"value": None}}), line(1, {})], rule)], all_looks=True)[0]
    assert (course.decision, course.look) == ("hold", None)
    assert course.reason.startswith("inconclusive: 'queue' has no data")
    assert "no counts in this look" in course.looks[0].conclusion.reason


@pytest.mark.parametrize("metric", [QUEUE, CPU.model_copy(update={"role": "signal"})])
def test_where_no_guardrail_is_weighed_there_is_no_evidence_for_or_against(metric: Metric) -> None:
    rule = rules(metric)
    seen = {"value": 5} if metric is QUEUE else {"canary": {"values": [1]}, "baseline": {"values": [1]}}
    course = judge_traces(rule, [read([line(0, {metric.name: seen})], rule)], all_looks=True)[0]
    told = json.dumps(course.as_json(all_looks=True), allow_nan=False)
    assert json.loads(told)["looks"][0]["log_e_harm"] == 0.0


def test_looks_of_kinds_without_requests_test_no_sample_ratio() -> None:
    rule = rules(CPU, look=TEN)
    course = judge_traces(rule, [read(drawn(6, [CPU], 70), rule)], all_looks=True)[0]
    assert course.canary_requests() == {"cpu": 0}
    identical(course, rule)
