"""Coalmine's own judge over a batch of runs: the same ``coalmine.analysis.Comparison`` that judges one rollout."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.judge.rivals.shared import NEVER
from benchmarks.judge.traffic import BOUNDS, LOOKS, MINUTE, Counts, Traffic, Values
from coalmine.analysis.channels import Counts as Channel
from coalmine.analysis.comparison import Comparison, ComparisonState
from coalmine.analysis.dispersion import Prior
from coalmine.analysis.history import Noise as ServiceNoise
from coalmine.analysis.history import exceedances, ratio_noise, score_noise, watched
from coalmine.analysis.latency import UNUSED
from coalmine.analysis.metrics import HistogramCounts, LatencyMetric, LatencyState, RatioCounts, RatioMetric, RatioState
from coalmine.analysis.trees import take
from coalmine.records import Judge
from coalmine.spec import parse_spec

SPEC = Path(__file__).with_name("spec.yaml")
ERRORS, LATENCY = "errors", "latency"
DROP_EVERY = 10
"""Looks after which runs that are decided are dropped, where only the rollback counts."""

Noise = Mapping[str, Prior]
"""A history of its own for each run: noise of the channels by metric, [S, C]."""


@dataclass(frozen=True)
class Outcome:
    """What became of each run, [S]: looks are counted from 1, ``NEVER`` when it did not happen."""

    rolled_back: Values
    proven: Values
    """Look at which no harm is first shown, whatever else is; in a rollout it counts only before a rollback."""
    covered: dict[str, int] | None
    """Runs whose intervals held 1 at every look: of errors, of p97, of every bound watched. None when not asked."""


def benchmark_judge(margin: float | None = None, looks: int = LOOKS) -> Judge:
    """The judge of ``spec.yaml``, with another margin if one is given."""
    spec = parse_spec(SPEC.read_text(), str(SPEC))
    metrics = [metric if margin is None else metric.model_copy(update={"margin": margin}) for metric in spec.metrics]
    return Judge(metrics=metrics, policy=spec.policy, planned_looks=looks)


def learn(past: Traffic) -> Noise:
    """What an hour of each run's service without a release says of its noise."""
    arms = (past.canary.requests, past.canary.errors, past.baseline.requests, past.baseline.errors)
    errors = ratio_noise(Channel(*(_by_look(values)[..., None] for values in arms)), MINUTE)
    canary, baseline = _by_look(past.canary.buckets), _by_look(past.baseline.buckets)
    scores = score_noise(canary, baseline, MINUTE)
    slots = watched(canary, baseline, None)
    shares = ratio_noise(exceedances(canary, baseline, slots), MINUTE)
    bounds = np.where(slots == UNUSED, np.nan, np.array(BOUNDS)[slots])
    return {
        ERRORS: _known(errors),
        LATENCY: _known(
            ServiceNoise(*(np.concatenate(both, axis=-1) for both in zip(scores, shares, strict=True))),
            np.concatenate([np.full(scores.tau2.shape, np.nan), bounds], axis=-1),
        ),
    }


def _known(noise: ServiceNoise, bounds: Values | None = None) -> Prior:
    return Prior(noise.tau2, np.ones(noise.tau2.shape[-1], bool), bounds=bounds, least=noise.information)


def judge(policy: Judge, traffic: Traffic, noise: Noise | None, *, whole: bool) -> Outcome:
    """Judge a batch look by look.

    Args:
        policy: from ``benchmark_judge``.
        traffic: what is looked at.
        noise: history of each run; None = the service is new.
        whole: go on to the last look, and watch the intervals; else runs that are rolled back are dropped.
    """
    runs, looks = traffic.canary.requests.shape
    live = np.arange(runs)
    core = Comparison(policy, noise)
    state = core.start(runs, {LATENCY: BOUNDS})
    harm, proof = np.full(runs, NEVER), np.full(runs, NEVER)
    held = np.ones((3, runs), bool)
    for look in range(looks):
        state = core.update(state, [_errors(traffic, live, look), _latencies(traffic, live, look)])
        weighed = core.weigh(state)
        bad = weighed.harm >= math.log(1.0 / policy.policy.alpha)
        shown = np.minimum(*(weighed.metrics[name].no_harm for name in (ERRORS, LATENCY)))
        good = shown >= math.log(1.0 / policy.policy.beta)
        harm[live] = np.where(bad & (harm[live] == NEVER), look + 1, harm[live])
        proof[live] = np.where(good & (proof[live] == NEVER), look + 1, proof[live])
        if whole:
            held &= _covers(core, state)
        elif look % DROP_EVERY == DROP_EVERY - 1:
            open_ = np.flatnonzero(harm[live] == NEVER)
            if not open_.size:
                break
            if open_.size < live.size:
                live, state = live[open_], take(state, open_)
                noise = None if noise is None else {name: one.of(open_) for name, one in noise.items()}
                core = Comparison(policy, noise)
    names = (ERRORS, "p97", "every bound")
    covered = {name: int(runs_.sum()) for name, runs_ in zip(names, held, strict=True)} if whole else None
    return Outcome(harm, proof, covered)


def _covers(core: Comparison, state: ComparisonState) -> Values:
    """Whether the intervals hold 1 now: of errors, of p97, of every watched bound, [3, S]; unknown ones do."""
    errors, latency = (core.metric(index) for index in range(2))
    past, tail = state.metrics
    assert isinstance(errors, RatioMetric)
    assert isinstance(latency, LatencyMetric)
    assert isinstance(past, RatioState)
    assert isinstance(tail, LatencyState)
    alpha = core.judge.policy.alpha
    low, high = past.shares.bounds(past.shares.phi(errors.prior), alpha)
    of_errors = ~((low > 1.0) | (high < 1.0))[:, 0]
    low, high = tail.shares.bounds(latency.share_phi(tail), alpha)
    of_bounds = ~((low > 1.0) | (high < 1.0)) | (tail.slots < 0)
    return np.stack([of_errors, of_bounds[:, 0], of_bounds.all(axis=1)])


def _errors(traffic: Traffic, live: Values, look: int) -> RatioCounts:
    canary, baseline = traffic.canary, traffic.baseline
    return RatioCounts(
        canary=canary.requests[live, look],
        canary_events=canary.errors[live, look],
        baseline=baseline.requests[live, look],
        baseline_events=baseline.errors[live, look],
        present=traffic.present[live, look],
    )


def _latencies(traffic: Traffic, live: Values, look: int) -> HistogramCounts:
    def buckets(arm: Counts) -> Values:
        result: Values = arm.buckets[live, look]
        return result

    return HistogramCounts(buckets(traffic.canary), buckets(traffic.baseline), traffic.present[live, look])


def _by_look(values: Values) -> Values:
    """[S, T, ...] to [T, S, ...], as floats."""
    return np.moveaxis(values, 1, 0).astype(float)
