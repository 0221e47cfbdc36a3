"""Metrics of a kind are folded together, whatever their margins, and nobody can tell from what is said of each."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from coalmine.analysis.comparison import Comparison, ComparisonState
from coalmine.analysis.metrics import HistogramCounts, LatencyState, RatioCounts
from coalmine.analysis.panels import Panels
from coalmine.analysis.prepared import comparison_of
from coalmine.analysis.trees import leaves, take
from coalmine.records import ChannelHistory, Judge, MetricCounts, MetricVerdict, ServiceHistory
from coalmine.spec.metrics import Metric
from tests.analysis.looks import BOUNDS, draw_latency, errors, fold, histogram, judge, latency, objective, ratio


def called(name: str, metric: Metric) -> Metric:
    return metric.model_copy(update={"name": name})


MANY = [
    called("a", errors()),
    called("b", latency()),
    called("c", errors()),
    called("d", errors(margin=1.4)),
    called("e", latency()),
    called("f", errors(role="signal")),
    called("g", errors(floor=0.02, no_harm=2.0)),
    called("h", latency(margin=1.0)),
    called("i", latency(objective=objective(0.25, 0.5), margin=1.3)),
    called("j", latency(objective=objective(0.1, 0.5), floor=0.01)),
]


def members(state: ComparisonState) -> list[tuple[int, ...]]:
    return [panel.members for panel in state.panels]


def rows(seed: int, looks: int) -> list[list[MetricCounts]]:
    rng = np.random.default_rng(seed)

    def drawn(metric: Metric) -> MetricCounts:
        if metric.kind == "latency":
            return draw_latency(rng).model_copy(update={"metric": metric.name})
        return ratio(int(rng.binomial(200, 0.03)), 200, int(rng.binomial(1800, 0.02)), 1800, metric.name)

    return [[drawn(metric) for metric in MANY] for _ in range(looks)]


def as_one(verdict: MetricVerdict) -> MetricVerdict:
    return verdict.model_copy(update={"metric": "", "sentence": verdict.sentence.split(": ", 1)[1]})


def test_what_is_said_of_each_is_what_it_is_alone() -> None:
    counted = rows(3, 40)
    together = fold(judge(*MANY), counted, share=0.1)
    assert members(Comparison(judge(*MANY)).start(1, {})) == [(0, 2, 3, 5, 6), (1, 4, 7), (8, 9)]
    for place, metric in enumerate(MANY):
        alone = fold(judge(metric), [[row[place]] for row in counted], share=0.1)
        for both, one in zip(together, alone, strict=True):
            said, expected = as_one(both.verdicts[place]), as_one(one.verdicts[0])
            # What a later look knows of an earlier one is rounded to a step; sums may be rounded another way before.
            assert said.sentence == expected.sentence
            assert said.log_e_harm == pytest.approx(expected.log_e_harm, abs=0.02)
            assert said.interval == pytest.approx(expected.interval, rel=1e-3)


def test_bounds_of_one_may_change_under_way() -> None:
    counted = rows(5, 12)
    coarse = [2, 4, 5, 6, 7, 8]
    for row in counted[6:]:
        whole = row[4]
        merged: list[list[int]] = []
        for arm in (whole.canary, whole.baseline):
            assert arm is not None
            assert arm.buckets is not None
            edges = [0, *(place + 1 for place in coarse), len(arm.buckets)]
            merged.append([sum(arm.buckets[start:end]) for start, end in pairwise(edges)])
        row[4] = histogram(merged[0], merged[1], [BOUNDS[place] for place in coarse]).model_copy(update={"metric": "e"})
    together = fold(judge(*MANY), counted, share=0.1)
    alone = fold(judge(MANY[4]), [[row[4]] for row in counted], share=0.1)
    assert [as_one(one.verdicts[4]).sentence for one in together] == [as_one(one.verdicts[0]).sentence for one in alone]
    core = comparison_of(judge(*MANY))
    state = core.with_bounds(core.start(1, {"b": (0.1, 0.2, 0.4), "e": (0.1, 0.2, 0.4)}), {4: (0.1, 0.4)})
    assert members(state) == [(0, 2, 3, 5, 6), (1,), (4,), (7,), (8, 9)]
    assert state.bounds == {1: (0.1, 0.2, 0.4), 4: (0.1, 0.4)} | dict.fromkeys((7, 8, 9), ())
    assert members(core.with_bounds(state, {1: (0.1, 0.4)})) == [(0, 2, 3, 5, 6), (1, 4), (7,), (8, 9)]
    assert core.with_bounds(state, {}) is state


def test_runs_of_a_batch_are_taken_from_every_panel() -> None:
    core = Comparison(judge(*(called(name, errors()) for name in "xyz")))
    canary, events = np.array([200, 210, 220]), np.array([1, 9, 4])
    windows = [RatioCounts(canary, events + add, 9 * canary, 9 * events, np.ones(3, bool)) for add in range(3)]
    state = core.update(core.start(3, {}), windows)
    assert state.panels[0].state.shares.canary.shape == (3, 3, 1)
    for run in range(3):
        one = take(state, slice(run, run + 1))
        assert [float(part.shares.canary_events[0, 0]) for part in one.metrics] == [
            events[run] + add for add in range(3)
        ]
        own = core.update(core.start(1, {}), [take_window(window, run) for window in windows])
        for (_, among), (_, alone) in zip(leaves(one), leaves(own), strict=True):
            assert among == pytest.approx(alone)
    assert core.seen(take(state, slice(1, 2))) == dict.fromkeys(range(3), (210.0, 1890.0))
    weighed = core.weigh(state)
    assert [weighed.metrics[name].harm.shape for name in core.names] == [(3,)] * 3
    assert [panel.harm.shape for panel in weighed.panels] == [(3, 3)]


def take_window(window: RatioCounts, run: int) -> RatioCounts:
    return RatioCounts(*(values[run : run + 1] for values in vars(window).values()))


def test_only_what_is_alike_comes_together() -> None:
    core = Comparison(judge(errors(), latency(), latency(objective=objective(0.1, 0.5)), errors(margin=1.3), latency()))
    panels = Panels([core.metric(place) for place in range(5)])
    assert panels.members({4: (0.1,)}) == [(0, 3), (1,), (2,), (4,)]
    assert panels.members({}) == [(0, 3), (1, 4), (2,)]
    assert panels.judge((1,)) is core.metric(1)
    fresh = panels.start(1, {4: (0.1,)})
    assert panels.start(1, {4: (0.1,)}) is fresh
    assert panels.start(1, {4: (0.2,)}) is not fresh
    assert [panel.members for panel in panels.start(2, {})] == [(0, 3), (1, 4), (2,)]


def test_ratios_with_and_without_a_history_are_not_taken_for_alike() -> None:
    one, other = called("known", errors(margin=1.2)), called("new", errors(margin=1.2))
    history = ServiceHistory(looks=120, channels={"known": {"events": ChannelHistory(tau2=0.02)}})
    assert members(Comparison(judge(one, other, history=history)).start(1, {})) == [(0,), (1,)]
    counted = [[ratio(30, 200, 40, 1800, metric.name) for metric in (one, other)] for _ in range(4)]
    both = fold(judge(one, other, history=history), counted, share=0.1)[-1]
    alone = fold(judge(other), [row[1:] for row in counted], share=0.1)[-1]
    assert both.verdicts[1].log_e_harm == pytest.approx(alone.verdicts[0].log_e_harm, abs=0.02)
    assert both.verdicts[0].log_e_harm > both.verdicts[1].log_e_harm + 1.0


def test_a_window_of_another_kind_is_refused_by_name() -> None:
    core = Comparison(judge(*MANY[:2]))
    wrong = HistogramCounts(np.ones((1, 2)), np.ones((1, 2)), np.ones(1, bool))
    with pytest.raises(TypeError, match=r"^a is ratio: give it RatioCounts$"):
        core.update(core.start(1, {"b": (0.1,)}), [wrong, wrong])


def test_a_panel_of_histograms_has_their_bounds() -> None:
    core = Comparison(judge(*MANY))
    state = core.start(2, {"b": (0.1, 0.2), "e": (0.1, 0.2)})
    parts = [part for part in state.metrics if isinstance(part, LatencyState)]
    assert [part.bounds for part in parts] == [*[(0.1, 0.2)] * 2, (), (), ()]
    assert [part.canary.shape for part in parts] == [*[(2, 3)] * 2, *[(2, 1)] * 3]


def test_a_comparison_is_made_once_and_does_not_follow_its_judge() -> None:
    asked = judge(called("prepared", errors()), planned=77)
    made = comparison_of(asked)
    assert comparison_of(Judge.model_validate_json(asked.model_dump_json())) is made
    asked.planned_looks = 5
    assert comparison_of(asked) is not made
    assert made.judge.planned_looks == 77
