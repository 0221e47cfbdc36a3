"""When the sketch rolls back: its evidence of harm from errors, latency and the crash guard, at alpha 1 %.

Errors (48 %) and requests slower than 250 ms and than 500 ms (12 % each) as conditional e-processes of the odds ratio,
normal and Savage scores of all buckets (12 % each) as exponential tilts, each tempered by its own dispersion, with at
most ln(1/alpha) nats from one window; and 4 % for the crash guard, neither tempered nor capped. No margin, no floor.
One thing is mended, in the sketch's favour: its crash guard took an outage of both arms for a crash of the canary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.judge.traffic import BOUNDS, LOOKS, Traffic, Values
from benchmarks.sketch_rules import (
    ALPHA,
    Residuals,
    Windows,
    against,
    counts,
    evidence,
    residuals,
    stake,
    used,
    windows,
)
from coalmine.analysis.channels import Counts
from coalmine.analysis.crash import Crash, ratios
from coalmine.analysis.increments import curve
from coalmine.analysis.scores import bucket_scores, tilt_increments

CAP = float(np.log(1.0 / ALPHA))
HARM = np.geomspace(1.15, 400.0, 22)
HARM_LOG_PRIOR = -0.5 * np.log(HARM) - np.log(np.sum(HARM**-0.5))
TILTS = np.geomspace(0.03, 3.0, 14)
TILT_LOG_PRIOR = np.full(TILTS.size, -np.log(TILTS.size))
SLOWER_THAN = (0.25, 0.5)
"""Seconds: bounds near p97 and p99.9 of the usual latency."""
OF_CRASH, OF_ERRORS, OF_LATENCY = 0.04, 0.5, 0.125
"""Weights: of the crash guard; of errors and of each of four views of latency, parts of the rest."""


class Channel(NamedTuple):
    """One view of the arms: evidence of each look [S, T, K], prior of its alternatives [K], noise, weight."""

    increments: Values
    log_prior: Values
    noise: Residuals
    weight: float


def channels(traffic: Traffic) -> Iterator[Channel]:
    """All but the crash guard, one after the other, for each takes room."""
    errors = counts(traffic)["errors"]
    yield Channel(against(errors, HARM, 1.0), HARM_LOG_PRIOR, residuals(errors), OF_ERRORS)
    yield from scores(traffic, TILTS)
    for of in slower(traffic):
        yield Channel(against(of, HARM, 1.0), HARM_LOG_PRIOR, residuals(of, scaled=False), OF_LATENCY)


def noises(past: Traffic) -> list[Residuals]:
    """Of the same channels in the same order; one tilt is enough for it."""
    of_scores = [channel.noise for channel in scores(past, TILTS[:1])]
    of_bounds = [residuals(of, scaled=False) for of in slower(past)]
    return [residuals(counts(past)["errors"]), *of_scores, *of_bounds]


def slower(traffic: Traffic) -> list[Windows]:
    """Requests slower than each of the bounds."""
    beyond = [BOUNDS.index(bound) + 1 for bound in SLOWER_THAN]
    arms = (traffic.canary, traffic.baseline)
    return [windows(traffic, *(arm.buckets[..., at:].sum(axis=-1) for arm in arms)) for at in beyond]


def scores(traffic: Traffic, tilts: Values) -> list[Channel]:
    """Normal and Savage scores of all buckets, from the ranks of all requests of both arms so far."""
    size = traffic.canary.requests.shape
    increments, sums, variances = np.empty((*size, 2, tilts.size)), np.empty((*size, 2)), np.empty((*size, 2))
    so_far = np.zeros((size[0], traffic.canary.buckets.shape[-1]))
    for look in range(LOOKS):
        there = traffic.present[:, look, None]
        canary, baseline = (np.where(there, arm.buckets[:, look], 0.0) for arm in (traffic.canary, traffic.baseline))
        so_far += canary + baseline
        found = tilt_increments(canary, canary + baseline, bucket_scores(so_far), tilts)
        increments[:, look], sums[:, look], variances[:, look] = found
    return [
        Channel(increments[:, :, one], TILT_LOG_PRIOR, Residuals(sums[..., one], variances[..., one]), OF_LATENCY)
        for one in range(2)
    ]


def crash(traffic: Traffic) -> tuple[Values, Values]:
    """``ln E`` of the guard after each look, [S, T]: with two nulls, and with the one that the sketch had.

    The one: at most half of the canary's requests fail. The other: at most twice the odds of the baseline.
    """
    canary, baseline, x, events = (values[..., None] for values in counts(traffic)["errors"])
    guard, spent = Crash.start((len(x), 1)), 0.0
    both, alone = np.empty(x.shape[:2]), np.empty(x.shape[:2])
    for look in range(LOOKS):
        seen = Counts(canary[:, look], x[:, look], baseline[:, look], (events - x)[:, look])
        likelihood = curve(seen.canary_events, seen.canary, seen.baseline_events, seen.baseline, np.array(ratios(1.0)))
        spent += stake(look)
        guard = guard.fold(seen, likelihood, float(np.log(stake(look))))
        both[:, look] = guard.log_evidence(1.0 - spent)[:, 0]
        alone[:, look] = guard.log_evidence(1.0 - spent, alone=True)[:, 0]
    return both, alone


def harm(release: Traffic, pasts: Sequence[Traffic | None]) -> list[tuple[Values, Values]]:
    """``ln E`` of harm after each look, [S, T], with each of these hours of the service before (None = it is new).

    Each with two nulls of the crash guard, and with the one that the sketch had.
    """
    guards = crash(release)
    found = [[guard + np.log(OF_CRASH) for guard in guards] for _ in pasts]
    learnt = [None if past is None else noises(past) for past in pasts]
    for number, channel in enumerate(channels(release)):
        phis = [used(channel.noise, None if known is None else known[number]) for known in learnt]
        weight = np.log(channel.weight * (1.0 - OF_CRASH))
        for sums, one in zip(found, evidence(channel.increments, channel.log_prior, phis, CAP), strict=True):
            sums[:] = [np.logaddexp(total, one + weight) for total in sums]
    return [(both, alone) for both, alone in found]
