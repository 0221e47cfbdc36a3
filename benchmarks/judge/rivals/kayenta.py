"""Spinnaker Kayenta: NetflixACAJudge, Mann-Whitney on a point a minute, a growing window judged every five minutes.

Source: spinnaker/kayenta, ``NetflixACAJudge.scala``, ``MannWhitneyClassifier.scala``, ``MannWhitney.java`` (Apache-2.0;
read, not copied): confidence 0.98 and tolerance 0.25 are constants there. A metric is High when the lower end of the
Mann-Whitney interval of the shift exceeds a quarter of its estimate; both metrics have direction ``increase`` and are
critical, so that one High ends the run. Missing minutes are left out, as its NaN strategy ``remove`` does.

The interval's ends are the steps where the rank statistic crosses its quantile; they are taken exactly. Kayenta
searches them to an absolute 1e-4, which makes its verdict depend on the unit; exactness favours it.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from benchmarks.judge.rivals.shared import NEVER
from benchmarks.judge.traffic import MINUTE, Counts, Traffic, Values, p99

TOLERANCE = 0.25
CONFIDENCE = 0.98
EVERY = 5
"""Minutes between judgements."""
_Z = float(norm.ppf(1.0 - (1.0 - CONFIDENCE) / 2.0))


def first_rollback(traffic: Traffic) -> Values:
    """Looks after which each run is rolled back, ``NEVER`` when it is not, [S]."""
    canary, baseline = traffic.canary.by_minute(), traffic.baseline.by_minute()
    points = [(error_share(canary), error_share(baseline)), (p99(canary.buckets), p99(baseline.buckets))]
    found = np.full(canary.requests.shape[0], NEVER)
    for minutes in range(EVERY, canary.requests.shape[1] + 1, EVERY):
        open_ = np.flatnonzero(found == NEVER)
        if not open_.size:
            break
        bad = np.zeros(open_.size, bool)
        for experiment, control in points:
            bad |= high(experiment[open_, :minutes], control[open_, :minutes])
        found[open_[bad]] = minutes * MINUTE
    return found


def error_share(arm: Counts) -> Values:
    """Errors per request, nan where there are none."""
    return np.where(arm.requests > 0, arm.errors / np.maximum(arm.requests, 1), np.nan)


def high(experiment: Values, control: Values) -> Values:
    """Whether a metric is High: [S] from points [S, n] of both arms, nan = missing. Without any points it is Nodata,
    which fails a critical metric."""
    lower, estimate = shift(experiment, control)
    nothing = np.isnan(experiment).all(axis=1) | np.isnan(control).all(axis=1)
    return nothing | (lower > TOLERANCE * np.abs(estimate))


def shift(experiment: Values, control: Values) -> tuple[Values, Values]:
    """Lower end of the Mann-Whitney interval of the shift, and its estimate (Hodges and Lehmann 1963), [S].

    W counts the pairs whose difference exceeds mu, centred, continuity-corrected and scaled by its deviation, in which
    ties within an arm count; the end is where W falls to the normal quantile.
    """
    pairs = (experiment[:, :, None] - control[:, None, :]).reshape(experiment.shape[0], -1)
    ordered = np.sort(pairs, axis=1)
    m, n = ((~np.isnan(values)).sum(axis=1) for values in (experiment, control))
    number, both = m * n, m + n
    ties = _ties(experiment) + _ties(control)
    spread = both + 1.0 - ties / np.maximum(both * (both - 1.0), 1.0)
    deviation = np.sqrt(np.maximum(number * spread / 12.0, 0.0))
    crossing = number / 2.0 + 0.5 + _Z * deviation
    lowest = np.clip(np.ceil(number - crossing), 1, np.maximum(number, 1)).astype(int) - 1

    def at(index: Values) -> Values:
        return np.take_along_axis(ordered, index[:, None], axis=1)[:, 0]

    return at(lowest), (at(np.maximum(number - 1, 0) // 2) + at(number // 2 * (number > 0))) / 2.0


def _ties(values: Values) -> Values:
    """Sum of t^3 - t over groups of t equal values."""
    equal = (values[:, :, None] == values[:, None, :]).sum(axis=2)
    result: Values = np.where(equal > 0, equal**2 - 1, 0).sum(axis=1)
    return result
