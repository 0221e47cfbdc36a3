"""What one look of a played rollout brings for gauges, counts and objectives."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.plan_settings import OBJECTIVE, Setting
from coalmine.analysis.comparison import looks_per_minute
from coalmine.analysis.count import EventCounts
from coalmine.analysis.slo import SloCounts
from coalmine.analysis.value import ValueMeans
from coalmine.spec.metrics import Slo

Values = NDArray[Any]


class BurnWindows:
    """The canary's requests of every look so far: what the windows of burn rates show."""

    def __init__(self, slo: Slo, look: timedelta) -> None:
        self._burn, self._look, self._allowed = slo.burn, look, 1.0 - slo.objective
        self._seen: list[tuple[Values, Values]] = []

    def add(self, bad: Values, requests: Values) -> Values:
        """Take a look in; which burn rates both windows show, [S, K]."""
        bad_before, before = self._seen[-1] if self._seen else (0 * bad, 0 * requests)
        self._seen.append((bad_before + bad, before + requests))
        both = []
        for burn in self._burn:
            shares = [self._share(length) for length in (burn.long, burn.short)]
            both.append((np.array(shares) >= burn.rate * self._allowed).all(axis=0))
        return np.stack(both, axis=-1)

    def _share(self, length: timedelta) -> Values:
        bad, requests = self._seen[-1]
        first = len(self._seen) - 1 - round(length / self._look)
        if first >= 0:
            bad, requests = bad - self._seen[first][0], requests - self._seen[first][1]
        return bad / np.maximum(requests, 1)


def further_window(
    setting: Setting,
    rng: np.random.Generator,
    share: float,
    canary: Values,
    baseline: Values,
    burns: BurnWindows | None,
) -> Any:
    """One look of all runs [S].

    Args:
        setting: what is played.
        rng: draws.
        share: the canary's part of the traffic.
        canary, baseline: requests.
        burns: of an objective.
    """
    runs, one = canary.size, np.ones(canary.size)
    if setting.kind == "value":
        block = looks_per_minute(setting.judge())
        noise = setting.wobble * np.sqrt(block / 2.0)
        excess = (setting.times - 1.0) * (-1.0 if setting.down else 1.0)
        above, level = (noise * rng.standard_normal(runs) for _ in range(2))
        return ValueMeans(1.0 + excess + above, 1.0 + level, one > 0)
    if setting.kind == "count":
        times = 1.0 / setting.times if setting.down else setting.times
        events = setting.rate * setting.look_s / 3600.0
        rates = [events * share * times * one, events * (1.0 - share) * one]
        if setting.wobble:
            shape = setting.wobble**-2
            rates = [rate * rng.gamma(shape, 1.0 / shape, runs) for rate in rates]
        more, other = (rng.poisson(rate) for rate in rates)
        return EventCounts(more, other, share * one, setting.look_s * one, one > 0)
    if burns is None:
        raise ValueError(f"{setting.kind}: an objective needs its windows")
    bad = rng.binomial(canary, setting.rate if setting.times == 1 else setting.times * (1.0 - OBJECTIVE))
    return SloCounts(canary, bad, baseline, setting.look_s * one, burns.add(bad, canary), one > 0)
