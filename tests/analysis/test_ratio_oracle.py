"""A ratio metric from its counts to its evidence, against the same worked out without any state."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from coalmine.analysis.comparison import Comparison, ComparisonState
from coalmine.analysis.dispersion import Prior
from coalmine.analysis.metrics import RatioCounts, RatioMetric, RatioState
from tests.analysis import oracles
from tests.analysis.looks import errors, judge

HALF_MINUTE = timedelta(seconds=30)


def draw(kind: str, looks: int, seed: int) -> list[oracles.Look]:
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(looks):
        n_c, n_b = (int(value) for value in (rng.integers(60, 140), rng.integers(400, 700)))
        rate_c, rate_b = {"even": (0.03, 0.03), "worse": (0.12, 0.03), "noisy": (0.05, 0.05), "few": (0.004, 0.003)}[
            kind
        ]
        if kind == "noisy":
            rate_c, rate_b = (0.05 * rng.gamma(1.0, 1.0) for _ in range(2))
        rows.append((int(rng.binomial(n_c, min(rate_c, 1))), n_c, int(rng.binomial(n_b, min(rate_b, 1))), n_b))
    return rows


def counts(look: oracles.Look) -> RatioCounts:
    x_c, n_c, x_b, n_b = (np.array([value]) for value in look)
    return RatioCounts(n_c, x_c, n_b, x_b, np.ones(1, bool))


def folded(core: Comparison, looks: list[oracles.Look], **options: Any) -> ComparisonState:
    state = core.start(1, {})
    for number, look in enumerate(looks, 1):
        said: Any = {name: number in numbers for name, numbers in options.items()}
        state = core.update(state, [counts(look)], **said)
    return state


@pytest.mark.parametrize("known", [None, 0.3])
@pytest.mark.parametrize(
    ("kind", "looks", "margin", "floor"),
    [
        ("even", 3, 1.1, 0.0005),
        ("even", 9, 1.0, 0.0),
        ("worse", 2, 1.1, 0.0005),
        ("worse", 8, 1.2, 0.09),
        ("worse", 8, 3.0, 0.0),
        ("noisy", 12, 1.1, 0.0005),
        ("few", 7, 1.1, 0.0005),
    ],
)
def test_evidence_is_what_the_oracle_says(
    kind: str, looks: int, margin: float, floor: float, known: float | None
) -> None:
    rows = draw(kind, looks, seed=looks)
    plan = judge(errors(margin=margin, floor=floor), planned=10, look=HALF_MINUTE)
    core = Comparison(plan, None if known is None else {"errors": Prior(np.array([[known]]), np.ones(1, bool))})
    weighed = core.weigh(folded(core, rows))
    weights = oracles.investments(10, looks)
    cap = np.log(100) * (1.0 if known is None else 2.5)
    rule = oracles.Rule(margin, floor, 1.5, known, cap, 2)
    found, crash = oracles.ratio(rows, weights, rule), oracles.crash(rows, weights, margin)
    metric = weighed.metrics["errors"]
    assert metric.harm == pytest.approx(found.harm, abs=1e-4)
    assert metric.no_harm == pytest.approx(found.no_harm, abs=1e-4)
    assert metric.crash == pytest.approx(crash, abs=1e-4)
    # Alone, errors weigh 0.48 and their crash guard 0.04 of 0.52.
    assert weighed.harm == pytest.approx(np.logaddexp(found.harm + np.log(12 / 13), crash - np.log(13)), abs=1e-4)
    assert weighed.crash == pytest.approx(crash - np.log(13), abs=1e-4)
    assert weighed.signals == pytest.approx(-np.inf)


def test_steps_and_extensions_invest_as_said() -> None:
    rows = draw("worse", 9, seed=2)
    core = Comparison(judge(errors(margin=1.1, floor=0.0), planned=6, look=HALF_MINUTE))
    state = folded(core, rows, new_step={4}, extension={7, 8, 9})
    weights = oracles.investments(6, 9, new_steps=[4], extension=[7, 8, 9])
    found = oracles.ratio(rows, weights, oracles.Rule(1.1, 0.0, 1.5, None, np.log(100), 2))
    assert core.weigh(state).metrics["errors"].harm == pytest.approx(found.harm, abs=1e-4)
    assert state.spent == pytest.approx(weights.sum())
    assert state.looks == 9


def test_estimate_and_interval_come_from_the_oracles_curve() -> None:
    rows = draw("worse", 6, seed=5)
    core = Comparison(judge(errors(margin=1.1), look=HALF_MINUTE))
    state = folded(core, rows).metrics[0]
    part = core.metric(0)
    assert isinstance(state, RatioState)
    assert isinstance(part, RatioMetric)
    found = oracles.ratio(rows, oracles.investments(60, 6), oracles.Rule(1.1, 0.0005, 1.5, None, np.log(100), 2))
    assert state.shares.curve[0, 0] == pytest.approx(found.curve, abs=1e-4)
    assert state.shares.estimate()[0, 0] == pytest.approx(oracles.peak(found.curve), rel=1e-4)
    assert state.shares.phi(part.prior)[0, 0] == pytest.approx(found.phi)
    low, high = state.shares.bounds(state.shares.phi(part.prior), 0.01)
    # The published rule: ln of the mean of exp(L / phi) over all ratios, less L(r) / phi, is below ln(1 / alpha).
    fine = np.geomspace(1 / 30, 400, 801)
    tempered = np.array([oracles.likelihood(row, fine) for row in rows]).sum(axis=0) / found.phi
    inside = fine[np.log(np.exp(tempered - tempered.max()).mean()) + tempered.max() - tempered < np.log(100)]
    assert (low[0, 0], high[0, 0]) == pytest.approx((inside[0], inside[-1]), rel=0.015)


def test_a_missing_look_changes_nothing_but_the_cash() -> None:
    rows = draw("worse", 5, seed=3)
    core = Comparison(judge(errors(margin=1.1), planned=8, look=HALF_MINUTE))
    state = folded(core, rows)
    gap = replace(counts((99, 99, 99, 99)), present=np.zeros(1, bool))
    after = core.update(state, [gap])
    before, later = state.metrics[0], after.metrics[0]
    assert isinstance(before, RatioState)
    assert isinstance(later, RatioState)
    for name in ("canary", "canary_events", "baseline", "baseline_events", "expected", "curve"):
        assert getattr(later.shares, name) == pytest.approx(getattr(before.shares, name)), name
    assert (later.shares.noise.sums == before.shares.noise.sums).all()
    assert (later.shares.noise.recent == before.shares.noise.recent).all()
    assert after.spent == pytest.approx(oracles.investments(8, 6).sum())
    rule = oracles.Rule(1.1, 0.0005, 1.5, None, np.log(100), 2)
    found = oracles.ratio(rows, oracles.investments(8, 5), rule)
    assert core.weigh(after).metrics["errors"].harm == pytest.approx(found.harm, abs=1e-4)
