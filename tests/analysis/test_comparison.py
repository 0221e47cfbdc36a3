"""What a policy and a history make of the metrics: weights, margins, priors, pace."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from coalmine.analysis.comparison import (
    Comparison,
    channel_names,
    channels_of,
    known_history,
    looks_per_minute,
    margin_of,
    prior_of,
    weights,
)
from coalmine.analysis.metrics import HistogramCounts, LatencyMetric, RatioCounts, RatioMetric
from coalmine.records import ChannelHistory, ServiceHistory
from coalmine.spec.metrics import Metric
from tests.analysis.looks import errors, judge, latency, objective

ONE = np.ones(1, bool)


def named(name: str, metric: Metric) -> Metric:
    return metric.model_copy(update={"name": name})


def window(x_c: int, n_c: int, x_b: int, n_b: int) -> RatioCounts:
    return RatioCounts(np.array([n_c]), np.array([x_c]), np.array([n_b]), np.array([x_b]), ONE)


def known(looks: int = 60, **channels: dict[str, float]) -> ServiceHistory:
    """A history of so many looks; channels by metric: tau2 each, and rho 0.1."""
    return ServiceHistory(
        looks=looks,
        channels={
            metric: {name: ChannelHistory(tau2=tau2, rho=0.1) for name, tau2 in noise.items()}
            for metric, noise in channels.items()
        },
    )


LATENCY = {"normal": 0.1, "savage": 0.2, "above_p97": 0.3, "above_p999": 0.4, "above_p90": 0.5}


def test_channels_by_name() -> None:
    assert channel_names(errors()) == ("events",)
    assert channel_names(latency()) == ("normal", "savage", "above_p97", "above_p999", "above_p90")
    with_objective = latency(objective=objective(0.25, 0.95))
    assert channel_names(with_objective) == (
        "normal",
        "savage",
        "above_objective",
        "above_p97",
        "above_p999",
        "above_p90",
    )


def test_a_history_counts_from_60_looks_on() -> None:
    assert known_history(judge(history=known(60))) is not None
    assert known_history(judge(history=known(59))) is None
    assert known_history(judge()) is None


def test_what_a_history_knows_of_a_metric() -> None:
    with_objective = latency(objective=objective(0.25, 0.95))
    plan = judge(errors(), with_objective, history=known(errors={"events": 0.7}, latency=LATENCY))
    assert prior_of(plan, errors()).tau2.tolist() == [0.7]
    assert prior_of(plan, errors()).known.tolist() == [True]
    # An objective that was not watched is as noisy as p97.
    assert prior_of(plan, with_objective).tau2.tolist() == [0.1, 0.2, 0.3, 0.3, 0.4, 0.5]
    own = judge(with_objective, history=known(latency=LATENCY | {"above_objective": 0.9}))
    assert prior_of(own, with_objective).tau2.tolist() == [0.1, 0.2, 0.9, 0.3, 0.4, 0.5]
    assert prior_of(own, latency()).tau2.tolist() == [0.1, 0.2, 0.3, 0.4, 0.5]
    part = judge(latency(), history=known(latency={"normal": 0.1}))
    assert channels_of(part, latency()) == {}
    assert prior_of(part, latency()).tau2.tolist() == [0.0] * 5
    assert prior_of(part, latency()).known.tolist() == [False] * 5
    assert dict(plan.history.channels["latency"]) == dict(known(latency=LATENCY).channels["latency"])  # type: ignore[union-attr]


def test_margins() -> None:
    quiet = judge(history=known(errors={"events": 0.7}))
    assert margin_of(quiet, errors()) == 1.1
    assert margin_of(quiet, errors(margin=3.0)) == 3.0
    assert margin_of(judge(), errors()) == 1.2
    for rho, margin in ((0.2, 1.1), (0.2001, 1.2)):
        history = known(errors={"events": 0.7})
        history.channels["errors"]["events"] = ChannelHistory(tau2=0.7, rho=rho)
        assert margin_of(judge(history=history), errors()) == margin


@pytest.mark.parametrize(
    ("seconds", "looks"), [(0.1, 600), (10, 6), (30, 2), (35, 2), (45, 1), (60, 1), (100, 1), (300, 1)]
)
def test_looks_per_minute(seconds: float, looks: int) -> None:
    assert looks_per_minute(judge(look=timedelta(seconds=seconds))) == looks


def test_weights_are_shared_within_a_kind_and_sum_to_one() -> None:
    metrics = [errors(), named("timeouts", errors()), latency(), named("retries", errors(role="signal"))]
    harm, crash = weights(metrics, metrics[:2])
    assert harm == pytest.approx({"errors": 0.24, "timeouts": 0.24, "latency": 0.48})
    assert crash == pytest.approx({"errors": 0.02, "timeouts": 0.02})
    harm, crash = weights([latency()], [])
    assert (harm, crash) == ({"latency": 1.0}, {})
    harm, crash = weights([latency()], [errors()])
    assert harm == pytest.approx({"latency": 12 / 13})
    assert crash == pytest.approx({"errors": 1 / 13})
    assert weights([errors(role="signal")], []) == ({}, {})


def test_parts_get_what_the_spec_says() -> None:
    history = known(errors={"events": 0.7}, latency=LATENCY)
    with_objective = latency(floor=0.01, no_harm=2.0, objective=objective(0.25, 0.95))
    core = Comparison(judge(errors(floor=0.002, no_harm=1.7), with_objective, history=history))
    first, second = core.metric(0), core.metric(1)
    assert isinstance(first, RatioMetric)
    assert isinstance(second, LatencyMetric)
    assert (first.margin, first.floor, first.no_harm) == (1.1, 0.002, 1.7)
    assert (second.margin, second.floor, second.no_harm, second.objective) == (1.1, 0.01, 2.0, 0.25)
    assert second.score_prior.tau2.tolist() == [0.1, 0.2]
    assert second.share_prior.tau2.tolist() == [0.3, 0.3, 0.4, 0.5]
    assert core.names == ("errors", "latency")
    plain = Comparison(judge(latency())).metric(0)
    assert isinstance(plain, LatencyMetric)
    assert plain.objective is None


def test_signals_are_averaged_apart() -> None:
    metrics = [errors(), named("a", errors(role="signal")), named("b", errors(role="signal"))]
    core = Comparison(judge(*metrics, planned=10))
    state = core.start(1, {})
    looks = [(2, 100, 20, 900), (30, 100, 20, 900), (9, 100, 20, 900)]
    for _ in range(3):
        counts = [window(*look) for look in looks]
        state = core.update(state, counts)
    weighed = core.weigh(state)
    a, b = (float(weighed.metrics[name].harm[0]) for name in ("a", "b"))
    assert weighed.signals == pytest.approx(np.log((np.exp(a) + np.exp(b)) / 2))
    alone = weighed.metrics["errors"]
    assert alone.crash is not None
    assert weighed.harm == pytest.approx(np.log(12 / 13 * np.exp(alone.harm) + np.exp(alone.crash) / 13))


def test_several_runs_are_weighed_side_by_side() -> None:
    metrics = [errors(), named("more", errors()), named("s", errors(role="signal"))]
    core = Comparison(judge(*metrics))
    rows = [(9, 100, 20, 900), (2, 100, 20, 900), (30, 100, 20, 900), (1, 50, 3, 950)]
    together: Any = core.start(4, {})
    x_c, n_c, x_b, n_b = np.array(rows).T
    counts = RatioCounts(n_c, x_c, n_b, x_b, np.ones(4, bool))
    together = core.weigh(core.update(together, [counts] * 3))
    for run, row in enumerate(rows):
        alone = core.weigh(core.update(core.start(1, {}), [window(*row)] * 3))
        for name in ("harm", "crash", "signals"):
            assert getattr(together, name)[run] == pytest.approx(getattr(alone, name)[0]), name


@pytest.mark.parametrize(("history", "cap"), [(None, 0.7), ({"events": 0.0}, 2.5)])
def test_one_window_adds_at_most_the_cap(history: dict[str, float] | None, cap: float) -> None:
    plan = judge(errors(), history=None if history is None else known(errors=history), alpha=0.05)
    core = Comparison(plan)
    state: Any = core.update(core.start(1, {}), [window(900, 1000, 0, 1000)])
    assert state.metrics[0].shares.relative.max() == pytest.approx(np.log(0.75) + cap * np.log(20))


def test_counts_of_another_kind_are_refused() -> None:
    core = Comparison(judge(errors(), latency()))
    state = core.start(1, {"latency": (0.1,)})
    ratio = window(1, 1, 1, 1)
    histogram = HistogramCounts(np.ones((1, 2)), np.ones((1, 2)), ONE)
    with pytest.raises(TypeError, match=r"^errors is ratio: give it RatioCounts$"):
        core.update(state, [histogram, histogram])
    with pytest.raises(TypeError, match=r"^latency is latency: give it HistogramCounts$"):
        core.update(state, [ratio, ratio])
    with pytest.raises(ValueError, match="zip"):
        core.update(state, [ratio])
