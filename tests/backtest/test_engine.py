"""The batched engine says what the workflow's judge says, look by look."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine.analysis.coarse import coarsened
from coalmine.backtest import Rules, engine, history_of, judge_traces
from coalmine.backtest.verdicts import Course
from coalmine.records import ArmCounts, MetricCounts, MetricVerdict
from coalmine.spec.metrics import Objective
from tests.backtest.traces import BOUNDS, TEN, draw, errors, latency, one_by_one, ratio, read, rules

LACKS = st.sampled_from([""] * 6 + ["metric", "canary", "baseline", "null", "zero", "all zero", "weight"])


def constant(rate: float) -> Callable[[int], float]:
    return lambda look: rate


def same(course: Course, rules: Rules) -> None:
    """Every look of a course, judged with ``all_looks``, is what ``evaluate`` says of it."""
    told = one_by_one(rules, course.trace)
    assert len(course.looks) == len(told)
    for judged, evaluation in zip(course.looks, told, strict=True):
        found = judged.conclusion
        assert (found.finding, found.reason) == (evaluation.finding, evaluation.reason), judged.look
        assert found.log_e_harm == pytest.approx(evaluation.log_e_harm, abs=1e-9)
        for one, other in zip(found.verdicts, evaluation.verdicts, strict=True):
            alike(one, other)


def alike(one: MetricVerdict, other: MetricVerdict) -> None:
    numbers, others = (verdict.model_dump() for verdict in (one, other))
    assert {k: v for k, v in numbers.items() if not isinstance(v, float | tuple)} == {
        k: v for k, v in others.items() if not isinstance(v, float | tuple)
    }
    for key, value in numbers.items():
        if isinstance(value, float | tuple):
            assert value == pytest.approx(others[key], abs=1e-9, rel=1e-9), key


def judged(rules: Rules, *files: list[str], all_looks: bool = True) -> list[Course]:
    traces = [read(lines, rules, f"{number}.jsonl") for number, lines in enumerate(files)]
    return judge_traces(rules, traces, all_looks=all_looks)


def test_a_batch_says_what_each_trace_is_told_alone() -> None:
    rng = np.random.default_rng(1)
    rule = rules(errors(), latency(objective=Objective(under=TEN / 50, share=0.99)), no_history="roll_back")
    kinds = ((0.005, 1.0), (0.02, 1.0), (0.005, 1.3), (0.5, 1.0), (0.9, 2.0), (0.0, 0.8))
    files = [
        draw(rng, 14, canary=constant(rate), slower=slower, weight=lambda look: 5 if look < 6 else 20)
        for rate, slower in kinds
    ]
    courses = judged(rule, *files)
    for course in courses:
        same(course, rule)
    assert [course.decision for course in courses[1:5]] == ["roll_back"] * 4


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_whatever_a_trace_lacks(data: st.DataObject) -> None:
    """Missing arms and metrics, empty windows, changing weights and bounds."""
    rule = rules(errors(), latency(role="signal"), no_history=data.draw(st.sampled_from(["hold", "roll_back"])))
    looks = data.draw(st.integers(2, 9))
    coarse, weights = data.draw(st.integers(0, 12)), [10.0] * looks
    files = []
    for number in range(4):
        rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
        if number > 1:
            weights = data.draw(st.lists(st.sampled_from([1.0, 10.0, 50.0]), min_size=looks, max_size=looks))
        drawn = draw(
            rng,
            looks,
            canary=constant(data.draw(st.sampled_from([0.0, 0.005, 0.05, 0.7]))),
            requests=300,
            slower=data.draw(st.sampled_from([1.0, 1.5])),
            weight=weights.__getitem__,
            bounds=lambda look: BOUNDS if look < coarse else BOUNDS[::2],
        )
        lines = [json.loads(text) for text in drawn]
        for look in lines:
            for name in ("errors", "latency"):
                lack(look, name, data.draw(LACKS))
        files.append([json.dumps(look) for look in lines])
    for course in judged(rule, *files):
        same(course, rule)


def test_a_histogram_that_begins_at_zero_is_judged_as_the_workflow_does() -> None:
    """As OpenTelemetry's do by default; some requests take no measurable time, and the bounds change under way."""
    rng = np.random.default_rng(6)
    rule = rules(latency(), no_history="roll_back")
    zeroed = [0.0, *BOUNDS]
    drawn = draw(rng, 8, slower=2.0, bounds=lambda look: zeroed if look < 4 else zeroed[::2], kinds=["latency"])
    (course,) = judged(rule, drawn)
    same(course, rule)
    assert course.decision == "roll_back"


def test_very_many_bounds_are_coarsened_as_the_workflow_does() -> None:
    rng = np.random.default_rng(6)
    rule = rules(latency(), no_history="roll_back")
    fine = [0.001 * 1.07**number for number in range(160)]
    drawn = draw(rng, 8, slower=2.0, bounds=lambda look: fine, kinds=["latency"])
    (course,) = judged(rule, drawn)
    same(course, rule)
    assert course.decision == "roll_back"
    for number, written in enumerate(drawn):
        told = json.loads(written)["observations"]["latency"]
        arms = {name: ArmCounts(total=sum(told[name]["counts"]), buckets=told[name]["counts"]) for name in told}
        raw = MetricCounts(metric="latency", bounds=fine, **arms)
        (read_back,) = course.trace.counts(number)
        assert len(read_back.bounds or ()) < 100
        assert read_back == coarsened([raw], rule.metrics)[0]


def lack(look: dict[str, Any], name: str, what: str) -> None:
    seen = look["observations"]
    if what == "metric":
        del seen[name]
    elif what == "null":
        seen[name] = None
    elif what in ("canary", "baseline"):
        seen[name][what] = None
    elif what == "weight":
        look["weight"] = None
    elif what:
        for arm in ("canary",) if what == "zero" else ("canary", "baseline"):
            empty = {
                key: 0 if isinstance(value, int) else [0] * len(value)
                for key, value in seen[name][arm].items()
                if key != "le"
            }
            seen[name][arm] = {**seen[name][arm], **empty}


def test_a_known_service_and_planned_looks() -> None:
    rng = np.random.default_rng(2)
    plain = rules(errors(), latency())
    history = history_of(read(draw(rng, 80), plain), plain.metrics)
    assert history.looks == 80
    rule = rules(errors(), latency(), planned_looks=5, history=history)
    files = [draw(rng, 9, canary=constant(rate), weight=lambda look: 50) for rate in (0.005, 0.008, 0.02)]
    courses = judged(rule, *files)
    for course in courses:
        same(course, rule)
    assert courses[2].decision == "roll_back"


def test_what_is_told_depends_neither_on_the_batch_nor_on_keeping_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    rule = rules(errors(), latency(), no_history="roll_back")
    monkeypatch.setattr(engine, "CHUNK", 16)
    files = [draw(rng, 6, canary=constant(0.005 if number % 3 else 0.06), requests=500) for number in range(19)]
    together = [course.as_json(all_looks=False) for course in judged(rule, *files, all_looks=False)]
    kept = [course.as_json(all_looks=False) for course in judged(rule, *files, all_looks=True)]
    assert together == kept
    for number in (0, 1, 16, 18):
        alone = judged(rule, files[number], all_looks=False)[0].as_json(all_looks=False)
        assert {**alone, "trace": f"{number}.jsonl"} == together[number]


def test_the_order_of_metrics_changes_no_byte() -> None:
    rng = np.random.default_rng(4)
    twins = [errors(), errors().model_copy(update={"name": "timeouts"}), latency()]
    lines = []
    for text in draw(rng, 8, canary=lambda look: 0.03):
        look = json.loads(text)
        look["observations"]["timeouts"] = {"canary": ratio(1, 150), "baseline": ratio(9, 1800)}
        lines.append(json.dumps(look))
    told = {
        json.dumps([course.as_json(all_looks=True) for course in judged(rules(*order), lines)])
        for order in (twins, twins[::-1], [twins[1], twins[2], twins[0]])
    }
    assert len(told) == 1
