"""What earlier looks say of a service's noise."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from coalmine.analysis import summarise_history
from coalmine.analysis.comparison import channel_names, margin_of, prior_of
from coalmine.records import MetricCounts
from tests.analysis.looks import draw_latency, draw_ratio, errors, histogram, history, judge, latency, objective, silent

BOTH = (errors(), latency(objective=objective(0.25, 0.95)))


def test_pure_counting_shows_no_noise() -> None:
    known = history(*BOTH, looks=200)
    assert known.looks == 200
    assert known.load == pytest.approx(200.0, rel=0.01)
    assert set(known.channels["errors"]) == {"events"}
    assert set(known.channels["latency"]) == set(channel_names(BOTH[1]))
    # Excess dispersion at ten requests' errors a look: a few tenths at most are chance.
    information = 2000 * 0.1 * 0.9 * 0.005
    assert known.channels["errors"]["events"].tau2 * information < 0.6
    assert all(channel.rho < 0.2 for channels in known.channels.values() for channel in channels.values())


def test_noise_of_an_arm_is_found_whatever_the_weight() -> None:
    found = []
    for weight in (0.1, 0.5):
        rng = np.random.default_rng(3)
        rows = [
            [draw_ratio(rng, 0.02 * rng.gamma(4, 0.25), 0.02 * rng.gamma(4, 0.25), weight, 5000)] for _ in range(400)
        ]
        found.append(summarise_history(rows, 10.0, [errors()]).channels["errors"]["events"].tau2)
    # Each arm's rate varies with a coefficient of 50 %, so the log ratio's variance is about 0.5.
    assert found == pytest.approx([0.5, 0.5], rel=0.5)


def test_autocorrelated_noise_widens_the_margin() -> None:
    rng = np.random.default_rng(4)
    level, rows = 0.0, []
    for _ in range(300):
        level = 0.8 * level + 0.6 * 0.5 * rng.standard_normal()
        rows.append([draw_ratio(rng, 0.02 * np.exp(level), 0.02, 0.5, 5000)])
    known = summarise_history(rows, 10.0, [errors()])
    assert known.channels["errors"]["events"].rho > 0.3
    assert margin_of(judge(history=known), errors()) == 1.2
    assert margin_of(judge(history=history()), errors()) == 1.1


def test_missing_looks_and_metrics_are_left_out() -> None:
    rng = np.random.default_rng(5)
    rows: list[list[MetricCounts]] = [[draw_ratio(rng, 0.01, 0.01), draw_latency(rng)] for _ in range(70)]
    for row in rows[::7]:
        row[1] = silent("latency")
    rows[3] = [*rows[3], draw_ratio(rng, 0.5, 0.5).model_copy(update={"metric": "gone"})]
    began = datetime(2026, 1, 1, tzinfo=UTC)
    known = summarise_history(rows, 10.0, BOTH, since=began)
    assert known.looks == 60
    assert known.since == began
    assert summarise_history([], 10.0, BOTH).looks == 0
    assert summarise_history(rows, 10.0, [*BOTH, errors().model_copy(update={"name": "new"})]).looks == 0


def test_an_objective_the_history_has_not_seen_is_as_noisy_as_p97() -> None:
    plain = history(errors(), latency())
    prior = prior_of(judge(history=plain), BOTH[1])
    assert prior.known.all()
    assert prior.tau2[2] == plain.channels["latency"]["above_p97"].tau2


def test_a_metric_the_history_has_not_seen_starts_cold() -> None:
    known = history(errors())
    assert not prior_of(judge(history=known), latency()).known.any()
    assert prior_of(judge(history=known), errors()).known.all()


def test_histograms_of_different_bounds_are_merged() -> None:
    rows = [[histogram([5, 3, 2], [50, 30, 20], [0.1, 0.2])]] * 40 + [[histogram([5, 5], [50, 50], [0.1])]] * 40
    known = summarise_history(rows, 10.0, [latency()])
    assert known.looks == 80
    assert all(np.isfinite(channel.tau2) for channel in known.channels["latency"].values())
