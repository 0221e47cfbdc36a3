"""A latency metric from its histograms to its evidence, against the same worked out without any state."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from coalmine.analysis.comparison import Comparison
from coalmine.analysis.dispersion import Prior
from coalmine.analysis.grids import TILTS
from coalmine.analysis.kinds import weigh
from coalmine.analysis.latency import UNUSED
from coalmine.analysis.metrics import HistogramCounts, LatencyMetric, LatencyState
from coalmine.analysis.scores import bucket_scores, tilt_increments
from tests.analysis import oracles
from tests.analysis.looks import BOUNDS, judge, latency, objective

Counts = NDArray[np.int64]
HALF_MINUTE = timedelta(seconds=30)


def draw(looks: int, slower: float, requests: int, seed: int, bounds: list[float] = BOUNDS) -> tuple[Counts, Counts]:
    """Buckets of both arms, [T, B] each."""
    rng = np.random.default_rng(seed)
    arms = []
    for number, factor in ((requests // 4, slower), (requests - requests // 4, 1.0)):
        seconds = 0.08 * factor * np.exp(0.6 * rng.standard_normal((looks, number)))
        arms.append(np.array([np.bincount(np.searchsorted(bounds, row), minlength=len(bounds) + 1) for row in seconds]))
    return arms[0], arms[1]


def folded(core: Comparison, canary: Counts, baseline: Counts, bounds: list[float] = BOUNDS) -> Any:
    state = core.start(1, {"latency": tuple(bounds)})
    for look_c, look_b in zip(canary, baseline, strict=True):
        state = core.update(state, [HistogramCounts(look_c[None], look_b[None], np.ones(1, bool))])
    return state


def shares(canary: Counts, baseline: Counts, bound: int) -> list[oracles.Look]:
    """What an exceedance of one bound is: requests above it, of all."""
    return [
        (int(c[bound + 1 :].sum()), int(c.sum()), int(b[bound + 1 :].sum()), int(b.sum()))
        for c, b in zip(canary, baseline, strict=True)
    ]


def score_evidence(canary: Counts, baseline: Counts, weights: oracles.Array, cap: float, tau2: Any) -> list[float]:
    """ln E of normal and Savage scores: the scores of a look are those of all requests so far."""
    looks = [
        tilt_increments(c, c + b, bucket_scores((canary + baseline)[: number + 1].sum(axis=0)), TILTS)
        for number, (c, b) in enumerate(zip(canary, baseline, strict=True))
    ]
    increments, t, v = (np.array(part) for part in zip(*looks, strict=True))
    found = []
    for score in range(2):
        known = None if tau2 is None else tau2[score]
        residual, variance = t[:, score], v[:, score]
        phi = oracles.dispersion(residual, variance, variance, level=1.0, scale=lambda _: 1.0, tau2=known, block=2)
        found.append(oracles.tempered(increments[:, score], weights, np.full(14, 1 / 14), phi, cap))
    return found


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize(
    ("looks", "slower", "margin", "watched", "bounds"),
    [
        (2, 1.0, 1.1, None, BOUNDS),
        (6, 1.25, 1.1, 0.1, BOUNDS),
        (5, 1.25, 1.0, None, BOUNDS),
        (6, 0.8, 1.1, 0.5, BOUNDS),
        (4, 0.8, 1.0, None, BOUNDS),
        # The lowest bound is watched here, and a fault shows there most.
        (5, 1.3, 1.1, None, [0.15, 0.25, 0.4]),
        (5, 1.3, 1.1, 0.15, [0.15, 0.25, 0.4]),
    ],
)
def test_evidence_is_what_the_oracle_says(
    looks: int, slower: float, margin: float, watched: float | None, bounds: list[float], known: bool
) -> None:
    canary, baseline = draw(looks, slower, 2400, seed=looks, bounds=bounds)
    metric = latency(margin=margin, objective=None if watched is None else objective(watched, 0.9))
    tau2 = np.array([0.01, 0.02, 0.3, 0.4, 0.5, 0.6])[: 5 if watched is None else 6]
    plan = judge(metric, planned=10, look=HALF_MINUTE)
    core = Comparison(plan, {"latency": Prior(tau2[None, :], np.ones(tau2.size, bool))} if known else None)
    state = folded(core, canary, baseline, bounds)
    held = state.metrics[0]
    assert isinstance(held, LatencyState)
    slots = held.slots[0]
    assert slots.tolist() == expected_slots(canary[0] + baseline[0], watched, bounds)

    weights, cap = oracles.investments(10, looks), np.log(100) * (2.5 if known else 1.0)
    found = [
        oracles.ratio(
            shares(canary, baseline, slot),
            weights,
            oracles.Rule(
                margin, 0.0005, 1.5, float(tau2[2 + number]) if known else None, cap, 2, oracles.EXCEEDANCE_PRIOR
            ),
        )
        for number, slot in enumerate(slots)
        if slot != UNUSED
    ]
    mean = np.log(np.mean([np.exp(one.harm) for one in found]))
    scores = score_evidence(canary, baseline, weights, cap, tau2 if known else None)
    if margin > 1 and not any(oracles.peak(one.curve) > margin for one in found):
        scores = [min(score, 0.0) for score in scores]
    weighed = core.weigh(state)
    harm = np.log(0.5 * np.exp(mean) + 0.25 * np.exp(scores).sum())
    one = weighed.metrics["latency"]
    assert one.harm == pytest.approx(harm, abs=1e-3)
    assert one.without_scores == pytest.approx(np.log(0.5 * np.exp(mean) + 0.5), abs=1e-3)
    required = [result for result, _ in zip(found, range(1 if watched is None else 2), strict=False)]
    if slots[: len(required)].min() != UNUSED:
        assert one.no_harm == pytest.approx(min(result.no_harm for result in required), abs=1e-3)
    assert one.crash is None
    assert weighed.harm == pytest.approx(harm, abs=1e-3)
    assert weighed.crash == pytest.approx(-np.inf)


def expected_slots(pooled: Counts, watched: float | None, bounds: list[float]) -> list[int]:
    above = (pooled[::-1].cumsum()[::-1][1:] + 0.5) / (pooled.sum() + 1)
    wanted = [np.abs(np.log(above / (1 - above)) - np.log(q / (1 - q))).argmin() for q in (0.03, 0.001, 0.1)]
    slots = ([] if watched is None else [bounds.index(watched)]) + [int(slot) for slot in wanted]
    return [slot if slot not in slots[:place] else UNUSED for place, slot in enumerate(slots)]


@pytest.mark.parametrize(("margin", "counted"), [(1.0, True), (1.01, False)])
def test_with_a_margin_scores_count_only_beside_a_bound_that_is_worse(margin: float, counted: bool) -> None:
    """A shift among the quick requests: no watched bound moves, the rank scores do."""
    canary = np.array([[150, 650, 150, 40, 9, 1]] * 3)
    baseline = np.array([[900, 1500, 450, 120, 27, 3]] * 3)
    core = Comparison(judge(latency(margin=margin), planned=10, look=HALF_MINUTE))
    bounds = [0.01, 0.1, 0.2, 0.4, 0.8]
    state = folded(core, canary, baseline, bounds)
    assert state.metrics[0].slots.tolist() == [[2, 4, -1]]
    assert state.metrics[0].shares.estimate()[:, :2] == pytest.approx(1.0, abs=5e-3)
    scores = score_evidence(canary, baseline, oracles.investments(10, 3), np.log(100), None)
    assert max(scores) > 1
    weighed = core.weigh(state).metrics["latency"]
    rest = 2 * (np.exp(float(weighed.without_scores[0])) - 0.5)
    parts = scores if counted else [min(score, 0.0) for score in scores]
    assert weighed.harm == pytest.approx(np.log(0.5 * rest + 0.25 * np.exp(parts).sum()), abs=1e-6)


def start(size: int = 1, **options: Any) -> tuple[LatencyMetric, LatencyState]:
    core = Comparison(judge(latency(**options)))
    part, state = core.metric(0), core.start(size, {"latency": (0.1, 0.2, 0.4)}).metrics[0]
    assert isinstance(part, LatencyMetric)
    assert isinstance(state, LatencyState)
    return part, state


def test_before_the_first_look_nothing_is_watched() -> None:
    part, state = start(2, objective=objective(0.2, 0.9))
    assert state.slots.tolist() == [[UNUSED] * 4] * 2
    assert state.canary.shape == state.baseline.shape == (2, 4)
    assert part.slot_names == ("above_objective", "above_p97", "above_p999", "above_p90")
    assert part.required == 2
    weighed = weigh(part, state, 1.0)
    for evidence in (weighed.harm, weighed.without_scores, weighed.no_harm):
        assert evidence == pytest.approx(np.zeros(2), abs=1e-9)
    plain, _ = start()
    assert plain.slot_names == ("above_p97", "above_p999", "above_p90")
    assert plain.required == 1


def test_slots_settle_after_2000_requests() -> None:
    core = Comparison(judge(latency()))
    state: Any = core.start(1, {"latency": (0.1, 0.2, 0.4)})
    early, late = np.array([[900, 50, 40, 9]]), np.array([[0, 900, 50, 49]])

    def after(state: Any, counts: Any) -> Any:
        return core.update(state, [HistogramCounts(counts, counts, np.ones(1, bool))])

    once = after(state, early)
    assert once.metrics[0].slots.tolist() == [[1, 2, 0]]
    moved = after(once, late)
    # 1,998 requests were seen before: the slots move with the second look, and stay at the third.
    assert moved.metrics[0].slots.tolist() == [[2, -1, 1]]
    assert after(moved, early).metrics[0].slots.tolist() == [[2, -1, 1]]
    full = after(core.start(1, {"latency": (0.1, 0.2, 0.4)}), early + np.array([[1, 0, 0, 0]]))
    assert after(full, late).metrics[0].slots.tolist() == [[1, 2, 0]]
    # The totals of a slot are those of the bound it watches now.
    shares_ = moved.metrics[0].shares
    assert shares_.canary.tolist() == [[1998.0, 0.0, 1998.0]]
    assert shares_.canary_events.tolist() == [[58.0, 0.0, 148.0]]
    assert shares_.baseline.tolist() == [[1998.0, 0.0, 1998.0]]
    assert shares_.baseline_events.tolist() == [[58.0, 0.0, 148.0]]


def test_other_bounds_keep_the_evidence() -> None:
    core = Comparison(judge(latency(objective=objective(0.2, 0.9))))
    part = core.metric(0)
    assert isinstance(part, LatencyMetric)
    fresh: Any = core.start(2, {}).metrics[0]
    assert fresh.canary.shape == (2, 1)
    opened = part.with_bounds(fresh, (0.1, 0.2, 0.4))
    assert opened.bounds == (0.1, 0.2, 0.4)
    assert opened.canary.tolist() == opened.baseline.tolist() == [[0.0] * 4] * 2
    state: Any = core.start(1, {"latency": (0.1, 0.2, 0.4)})
    counts = HistogramCounts(np.array([[900, 50, 40, 9]]), np.array([[1800, 100, 80, 18]]), np.ones(1, bool))
    held = core.update(state, [counts]).metrics[0]
    assert isinstance(held, LatencyState)
    assert held.slots.tolist() == [[1, -1, 2, 0]]
    merged = part.with_bounds(held, (0.2, 0.4))
    assert merged.bounds == (0.2, 0.4)
    assert merged.canary.tolist() == [[950.0, 40.0, 9.0]]
    assert merged.baseline.tolist() == [[1900.0, 80.0, 18.0]]
    assert merged.slots.tolist() == [[0, -1, 1, 0]]
    assert (merged.scores == held.scores).all()
    assert part.with_bounds(held, (0.1, 0.4)).slots.tolist() == [[0, -1, 1, 0]]


def test_a_missing_look_is_no_look() -> None:
    part, _ = start()
    canary, baseline = draw(5, 1.2, 2400, seed=4)
    core = Comparison(judge(latency(), planned=10))
    state = folded(core, canary, baseline)
    nothing = HistogramCounts(canary[:1], baseline[:1], np.zeros(1, bool))
    after: Any = core.update(state, [nothing])
    for name in ("canary", "baseline", "slots"):
        assert (getattr(after.metrics[0], name) == getattr(state.metrics[0], name)).all(), name
    assert (after.metrics[0].score_noise.sums == state.metrics[0].score_noise.sums).all()
    assert (after.metrics[0].score_noise.recent == state.metrics[0].score_noise.recent).all()
    assert (after.metrics[0].shares.noise.sums == state.metrics[0].shares.noise.sums).all()
    assert core.weigh(after).metrics["latency"].harm == pytest.approx(core.weigh(state).metrics["latency"].harm)
    assert part.objective is None


def test_a_batch_is_its_runs_alone() -> None:
    core = Comparison(judge(latency(objective=objective(0.25, 0.9)), planned=10))
    runs = [draw(5, slower, requests, seed=9) for slower, requests in ((1.3, 1200), (0.9, 300), (1.0, 2400))]
    batch: Any = core.start(3, {"latency": tuple(BOUNDS)})
    for look in range(5):
        canary, baseline = (np.stack([run[arm][look] for run in runs]) for arm in range(2))
        batch = core.update(batch, [HistogramCounts(canary, baseline, np.array([True, look != 2, True]))])
    together = core.weigh(batch).metrics["latency"]
    for place in (0, 2):
        alone = core.weigh(folded(core, *runs[place])).metrics["latency"]
        for name in ("harm", "without_scores", "no_harm"):
            assert getattr(together, name)[place] == pytest.approx(getattr(alone, name)[0], abs=1e-9), name
