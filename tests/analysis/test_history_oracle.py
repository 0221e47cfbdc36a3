"""A service's noise against the same worked out from all looks at once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from coalmine.analysis import summarise_history
from coalmine.analysis.grids import TILTS
from coalmine.analysis.history import exceedances, watched
from coalmine.analysis.scores import bucket_scores, tilt_increments
from coalmine.records import MetricCounts
from tests.analysis import oracles
from tests.analysis.looks import BOUNDS, draw_latency, draw_ratio, errors, histogram, latency, objective, ratio, silent


def tau2_and_rho(t: Any, v: Any, unit: Any, level: float, scale: float, block: int) -> tuple[float, float]:
    residuals = t - t.sum() / v.sum() * v
    alone = (residuals**2).sum() / (v.sum() * scale * (t.size - 1) / t.size)
    by_itself, rho = oracles.long_run(t, v, scale, 1.0, block)
    observed = max(alone * oracles.decay(residuals, min(max(3 * block, 6), t.size // 4)), by_itself)
    information = level * (unit**2).sum() / unit.sum()
    return max(observed - 1, 0.0) / information, rho


def information_of(rows: list[oracles.Look]) -> float:
    _, n_c, x_b, n_b = np.array(rows, float).T
    rate, unit = (x_b.sum() + 0.5) / (n_b.sum() + 1), n_c * n_b / (n_c + n_b)
    return float(rate * (1 - rate) * (unit**2).sum() / unit.sum())


def of_ratio(rows: list[oracles.Look], block: int) -> tuple[float, float]:
    x_c, n_c, x_b, n_b = np.array(rows, float).T
    share, events = n_c / (n_c + n_b), x_c + x_b
    t, v = x_c - share * events, events * share * (1 - share) * np.maximum(1 - events / (n_c + n_b), 0.02)
    rate = (x_b.sum() + 0.5) / (n_b.sum() + 1)
    seen, assumed = (x_c.sum() + 0.5) / (events.sum() + 1), (share * events).sum() / events.sum()
    scale = seen * (1 - seen) / (assumed * (1 - assumed))
    return tau2_and_rho(t, v, (n_c + n_b) * share * (1 - share), rate * (1 - rate), scale, block)


def noisy(looks: int, seed: int) -> list[oracles.Look]:
    rng = np.random.default_rng(seed)
    rows, level = [], 0.0
    for _ in range(looks):
        level = 0.7 * level + 0.5 * rng.standard_normal()
        n_c, n_b = (int(value) for value in rng.integers(300, 900, 2))
        rows.append((int(rng.binomial(n_c, 0.05 * np.exp(level - 0.2))), n_c, int(rng.binomial(n_b, 0.05)), n_b))
    return rows


@pytest.mark.parametrize(("seconds", "block"), [(10.0, 6), (30.0, 2), (25.0, 2), (90.0, 1), (600.0, 1)])
def test_a_ratios_noise(seconds: float, block: int) -> None:
    rows = noisy(40, seed=1)
    known = summarise_history([[ratio(*row)] for row in rows], seconds, [errors()])
    channel = known.channels["errors"]["events"]
    tau2, rho = of_ratio(rows, block)
    assert channel.tau2 == float(f"{tau2:.6g}")
    assert channel.rho == round(rho, 4)
    assert channel.information == pytest.approx(information_of(rows), rel=1e-5)
    assert tau2 > 0
    assert rho > 0
    requests = sum(row[1] + row[3] for row in rows)
    assert known.load == round(requests / (40 * seconds), 3)
    assert known.looks == 40


def test_a_histograms_noise() -> None:
    rng = np.random.default_rng(2)
    rows = [draw_latency(rng, slower=float(np.exp(0.1 * rng.standard_normal())), weight=0.4) for _ in range(30)]
    known = summarise_history([[row] for row in rows], 30.0, [latency(objective=objective(0.05, 0.5))])
    canary, baseline = (np.array([getattr(row, arm).buckets for row in rows], float) for arm in ("canary", "baseline"))
    pooled = canary + baseline
    _, t, v = tilt_increments(canary, pooled, bucket_scores(pooled.sum(axis=0)), TILTS[:1])
    found = known.channels["latency"]
    assert list(found) == ["normal", "savage", "above_objective", "above_p97", "above_p999", "above_p90"]
    for place, name in enumerate(("normal", "savage")):
        tau2, rho = tau2_and_rho(t[:, place], v[:, place], v[:, place], 1.0, 1.0, 2)
        assert found[name].tau2 == pytest.approx(tau2, rel=1e-5)
        assert found[name].rho == pytest.approx(rho, abs=1e-4)
        assert tau2 > 0
    above = (pooled.sum(axis=0)[::-1].cumsum()[::-1][1:] + 0.5) / (pooled.sum() + 1)
    wanted = {name: int(np.abs(np.log(above / (1 - above)) - np.log(q / (1 - q))).argmin()) for name, q in QUANTILES}
    for name, bound in ({"above_objective": BOUNDS.index(0.05)} | wanted).items():
        over = [values[:, bound + 1 :].sum(axis=1) for values in (canary, baseline)]
        looks = zip(over[0], canary.sum(axis=1), over[1], baseline.sum(axis=1), strict=True)
        tau2, rho = of_ratio([tuple(int(value) for value in look) for look in looks], 2)  # type: ignore[misc]
        assert found[name].tau2 == pytest.approx(tau2, rel=1e-5), name
        assert found[name].rho == pytest.approx(rho, abs=1e-4), name


QUANTILES = (("above_p97", 0.03), ("above_p999", 0.001), ("above_p90", 0.1))


def test_exceedances_are_of_the_bounds_the_sum_of_all_looks_chooses() -> None:
    canary = np.array([[90, 8, 2], [50, 40, 10]])
    baseline = np.array([[900, 80, 20], [900, 80, 20]])
    found = exceedances(canary, baseline, watched(canary, baseline, 0))
    assert found.canary_events.tolist() == [[10, 2, 2, 10], [50, 10, 10, 50]]
    assert found.baseline_events.tolist() == [[100, 20, 20, 100], [100, 20, 20, 100]]
    assert found.canary.tolist() == [[100] * 4] * 2
    assert found.baseline.tolist() == [[1000] * 4] * 2


def test_exceedances_of_several_runs_are_those_of_each_alone() -> None:
    rng = np.random.default_rng(6)
    canary, baseline = (rng.integers(0, 40, (5, 3, 4)) + np.array([400, 30, 9, 1]) for _ in range(2))
    together = exceedances(canary, baseline, watched(canary, baseline, 1))
    for run in range(3):
        slots = watched(canary[:, run], baseline[:, run], 1)
        alone = exceedances(canary[:, run], baseline[:, run], slots)
        for name in ("canary", "canary_events", "baseline", "baseline_events"):
            assert (getattr(together, name)[:, run] == getattr(alone, name)).all(), name


def test_only_windows_of_both_arms_count() -> None:
    rows: list[list[MetricCounts]] = [[ratio(*row)] for row in noisy(12, seed=3)]
    alone = summarise_history(rows, 10.0, [errors()])
    gaps: list[list[MetricCounts]] = [[], [silent()], [ratio(0, 0, 3, 100)], [ratio(3, 100, 0, 0)]]
    mixed = [row for place, row in enumerate([*rows]) for row in (row, *([gaps[place]] if place < 4 else []))]
    with_gaps = summarise_history(mixed, 10.0, [errors()])
    assert with_gaps == alone
    assert with_gaps.looks == 12


def test_the_fewest_looks_and_the_highest_load_count() -> None:
    rng = np.random.default_rng(4)
    rows: list[list[MetricCounts]] = [[draw_ratio(rng, 0.01, 0.01), draw_latency(rng, requests=500)] for _ in range(8)]
    rows[2] = rows[2][:1]
    began, ended = (datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2))
    known = summarise_history(rows, 10.0, [errors(), latency()], since=began, until=ended)
    assert known.looks == 7
    assert known.load == 200.0
    assert (known.since, known.until) == (began, ended)
    nothing = summarise_history([], 10.0, [errors()])
    assert (nothing.looks, nothing.load, nothing.channels) == (0, 0.0, {})
    assert summarise_history(rows, 10.0, []).looks == 0


def test_bounds_that_changed_are_merged_and_others_left_out() -> None:
    def rows(bounds: list[float], buckets: list[int], looks: int) -> list[list[MetricCounts]]:
        return [[histogram([value + 60 * (look % 3) for value in buckets], buckets, bounds)] for look in range(looks)]

    fine, coarse = rows([0.1, 0.2, 0.4], [50, 30, 20, 5], 6), rows([0.1, 0.4], [50, 30, 5], 6)
    merged = [
        [histogram([50 + 60 * (look % 3), 50 + 120 * (look % 3), 5 + 60 * (look % 3)], [50, 50, 5], [0.1, 0.4])]
        for look in range(6)
    ]
    for both in ((fine + coarse, merged + coarse), (coarse + fine, coarse + merged)):
        found, expected = (summarise_history(rows_, 10.0, [latency()]) for rows_ in both)
        assert found.channels == expected.channels
        assert max(channel.tau2 for channel in found.channels["latency"].values()) > 0
    # Bounds that share none with those before begin anew: what came earlier no longer fits.
    foreign = rows([0.3, 0.5], [50, 30, 5], 6)
    late = summarise_history(fine + foreign, 10.0, [latency()])
    assert late.channels == summarise_history(foreign, 10.0, [latency()]).channels
    assert late.looks == 12


def test_a_histogram_that_says_nothing_is_no_noise() -> None:
    rows = [[histogram([9, 0], [90, 0], [0.1])]] * 5
    known = summarise_history(rows, 10.0, [latency()])
    assert {channel.tau2 for channel in known.channels["latency"].values()} == {0.0}
    assert {channel.rho for channel in known.channels["latency"].values()} == {0.0}
