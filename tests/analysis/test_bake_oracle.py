"""The bake's evidence against the binomial, worked out from all looks at once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from coalmine.analysis.bake import Bake, BakeState, LevelCounts, limit_of
from coalmine.spec.metrics import Metric
from tests.analysis import oracles
from tests.analysis.looks import errors, judge, latency, objective

LOOK = timedelta(seconds=30)
PER_HOUR = 120


def named(name: str, metric: Metric) -> Metric:
    return metric.model_copy(update={"name": name})


def investments(looks: int, spread: float = PER_HOUR) -> oracles.Array:
    weights: list[float] = []
    for _ in range(looks):
        weights.append((1 - sum(weights)) / spread if weights else 0.75)
    return np.array(weights)


def evidence(counts: list[tuple[int, int]], limit: float, weights: oracles.Array, alpha: float = 0.01) -> float:
    """ln E of one metric against its limit, from events and requests of each look."""
    x, n = np.array(counts, float).T
    variance = limit * (1 - limit)
    t, v = x - limit * n, n * variance

    def scale(until: int) -> float:
        rate = (x[:until].sum() + 0.5) / (n[:until].sum() + 1)
        return float(np.clip(rate * (1 - rate) / variance, 0.05, 20.0))

    phi = oracles.dispersion(t, v, v, level=1.0, scale=scale, tau2=None, block=2)
    looks = [oracles.one_sample((int(a), int(b), 0, 0), limit, oracles.HARM) for a, b in counts]
    found = oracles.tempered(np.array(looks), weights, oracles.HARM_PRIOR, phi, np.log(1 / alpha))
    return min(found, 0.0) if x.sum() < 5 else found


def crash(counts: list[tuple[int, int]], weights: oracles.Array) -> float:
    looks = [oracles.one_sample((a, b, 0, 0), 0.5, np.array([3.0, 19.0])) for a, b in counts]
    return oracles.mixture(np.array(looks), weights, np.array([0.5, 0.5]), 1.0, np.inf)


def folded(core: Bake, *metrics: list[tuple[int, int]]) -> BakeState:
    state = core.start(1)
    for look in zip(*metrics, strict=True):
        state = core.update(state, [window(events, total) for events, total in look])
    return state


def window(events: int, total: int, *, present: bool = True) -> LevelCounts:
    return LevelCounts(np.array([total]), np.array([events]), np.array([present]))


def draw(share: float, looks: int, seed: int, noise: float = 0.0) -> list[tuple[int, int]]:
    rng = np.random.default_rng(seed)
    rates = share * (rng.gamma(1 / noise, noise, looks) if noise else np.ones(looks))
    return [(int(rng.binomial(500, min(rate, 1.0))), 500) for rate in rates]


def test_limits() -> None:
    assert limit_of(errors(max=0.02)) == 0.02
    assert limit_of(errors()) is None
    assert limit_of(latency()) is None
    assert limit_of(latency(objective=objective(0.25, 0.95))) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("share", "looks", "noise"), [(0.02, 3, 0.0), (0.035, 9, 0.0), (0.03, 12, 0.8), (0.01, 8, 0.0), (0.0005, 5, 0.0)]
)
@pytest.mark.parametrize("alpha", [0.01, 0.1])
def test_evidence_is_what_the_oracle_says(share: float, looks: int, noise: float, alpha: float) -> None:
    counts = draw(share, looks, seed=looks, noise=noise)
    core = Bake(judge(errors(max=0.02), look=LOOK, alpha=alpha))
    state = folded(core, counts)
    weights = investments(looks)
    assert state.spent == pytest.approx(weights.sum())
    assert state.looks == looks
    weighed = core.weigh(state)
    expected, guard = evidence(counts, 0.02, weights, alpha), crash(counts, weights)
    assert weighed.metrics["errors"] == pytest.approx(expected, abs=1e-6)
    assert weighed.harm == pytest.approx(np.logaddexp(expected + np.log(12 / 13), guard - np.log(13)))
    assert weighed.crash == pytest.approx(guard - np.log(13))
    assert weighed.signals == pytest.approx(-np.inf)


@pytest.mark.parametrize(("limit", "share"), [(0.002, 0.2), (0.3, 0.004)])
def test_far_from_the_limit_the_noise_is_scaled_by_at_most_twenty(limit: float, share: float) -> None:
    counts = draw(share, 9, seed=4, noise=0.5)
    core = Bake(judge(errors(max=limit), look=LOOK))
    found = core.weigh(folded(core, counts)).metrics["errors"]
    assert found == pytest.approx(evidence(counts, limit, investments(9)), abs=1e-6)


def test_what_is_not_limited_is_not_judged_but_may_crash() -> None:
    metrics = [
        errors(),
        named("timeouts", errors(max=0.1)),
        latency(),
        named("slow", latency(objective=objective(0.25, 0.95))),
        named("retries", errors(role="signal", max=0.02)),
        named("drops", errors(role="signal", max=0.3)),
        named("noise", errors(role="signal")),
    ]
    core = Bake(judge(*metrics, look=LOOK))
    assert core.limits == pytest.approx({"timeouts": 0.1, "slow": 0.05, "retries": 0.02, "drops": 0.3})
    assert core.harm_weights == pytest.approx({"timeouts": 0.48, "slow": 0.48})
    assert core.crash_weights == pytest.approx({"errors": 0.02, "timeouts": 0.02})
    counts = [draw(share, 5, seed=number) for number, share in enumerate((0.6, 0.2, 0.5, 0.08, 0.04, 0.4, 0.9))]
    weights, weighed = investments(5), core.weigh(folded(core, *counts))
    judged = {
        name: evidence(counts[place], limit, weights)
        for name, place, limit in (("timeouts", 1, 0.1), ("slow", 3, 0.05), ("retries", 4, 0.02), ("drops", 5, 0.3))
    }
    shown = {name: float(value[0]) for name, value in weighed.metrics.items()}
    assert shown == pytest.approx({"errors": 0.0, "latency": 0.0, "noise": 0.0} | judged, abs=1e-6)
    guards = [crash(counts[place], weights) + np.log(0.02) for place in (0, 1)]
    assert weighed.crash == pytest.approx(np.logaddexp(*guards))
    parts = [*guards, judged["timeouts"] + np.log(0.48), judged["slow"] + np.log(0.48)]
    assert weighed.harm == pytest.approx(np.log(np.exp(parts).sum()))
    assert weighed.signals == pytest.approx(np.log((np.exp(judged["retries"]) + np.exp(judged["drops"])) / 2))


def test_a_missing_look_is_no_bet() -> None:
    core = Bake(judge(errors(max=0.02), look=LOOK))
    counts = draw(0.03, 6, seed=2)
    state = folded(core, counts)
    after = core.update(state, [window(400, 500, present=False)])
    before, later = state.metrics[0], after.metrics[0]
    assert (later.canary.tolist(), later.canary_events.tolist()) == (
        before.canary.tolist(),
        before.canary_events.tolist(),
    )
    assert (later.noise.sums == before.noise.sums).all()
    assert (later.noise.recent == before.noise.recent).all()
    evidence_ = core.weigh(after).metrics["errors"]
    assert evidence_ == pytest.approx(core.weigh(state).metrics["errors"], abs=1e-9)


@pytest.mark.parametrize(("seconds", "spread"), [(30, 120.0), (600, 6.0), (1800, 2.0), (3600, 2.0), (7200, 2.0)])
def test_the_cash_is_invested_over_about_an_hour(seconds: int, spread: float) -> None:
    core = Bake(judge(errors(max=0.02), look=timedelta(seconds=seconds)))
    state = folded(core, draw(0.01, 4, seed=1))
    assert state.spent == pytest.approx(investments(4, spread).sum())


def test_runs_are_judged_side_by_side() -> None:
    core = Bake(judge(errors(max=0.02), named("s", errors(role="signal", max=0.02)), look=LOOK))
    runs: Any = [draw(share, 6, seed=3) for share in (0.01, 0.03, 0.06)]
    state = core.start(3)
    for look in range(6):
        events = np.array([run[look][0] for run in runs])
        state = core.update(state, [LevelCounts(np.full(3, 500), events, np.ones(3, bool))] * 2)
    together = core.weigh(state)
    for place, run in enumerate(runs):
        alone = core.weigh(folded(core, run, run))
        for name in ("harm", "crash", "signals"):
            assert getattr(together, name)[place] == pytest.approx(getattr(alone, name)[0]), name


def test_one_window_for_each_metric() -> None:
    core = Bake(judge(errors(max=0.02)))
    with pytest.raises(ValueError, match="zip"):
        core.update(core.start(1), [])
