"""Releases with a fault, and what each target of detection is."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import norm

from benchmarks.judge.quiet_releases import DEVELOPED_ON, overdispersed
from benchmarks.judge.traffic import MEDIAN, MINUTE, SLOW, SPREAD, Arm, Scenario, Values
from benchmarks.judge.unseen_releases import bimodal_latency

NO_HARM = 1.5


@dataclass(frozen=True)
class Fault:
    """A regression.

    ``quiet`` names the release without fault that it departs from: the service's history comes from there, and false
    alarms to set beside it. ``mean`` is the fault without noise, for the lower bound. ``onset``: looks before it shows.
    ``ratio`` and ``looks`` are targets: the median over the bound, or the median number of looks after the onset.
    """

    scenario: Scenario
    quiet: str
    mean: Scenario | None = None
    onset: int = 0
    ratio: float | None = None
    looks: int | None = None


def regression(
    baseline: float, errors: float | Callable[[Values], Values], shift: float = 0.0, width: float = 1.0
) -> Scenario:
    """Constant baseline; the canary's errors, constant or by look; its latency shifted (log) or wider."""

    def scenario(rng: np.random.Generator, size: tuple[int, int], weight: float) -> tuple[Arm, Arm]:
        rate = errors(np.arange(size[1])) if callable(errors) else errors
        return Arm(rate, shift, width), Arm(baseline)

    return scenario


def leak(look: Values) -> Values:
    """Errors grow by 0.05 points a minute from the eleventh on."""
    grown: Values = 0.002 + 0.0005 * np.maximum(0.0, look / MINUTE - 10.0)
    return grown


def late(look: Values) -> Values:
    """Ten times the errors after half an hour."""
    return np.where(look >= 30 * MINUTE, 0.05, 0.005)


def cache_lost(rng: np.random.Generator, size: tuple[int, int], weight: float) -> tuple[Arm, Arm]:
    """The canary's cache misses half as often again; the misses of both wander together, as ever."""
    _, baseline = bimodal_latency(rng, size, weight)
    misses = np.clip(1.5 * np.asarray(baseline.second_mode), 0.0, 0.9)
    return Arm(0.005, second_mode=misses, second_shift=baseline.second_shift), baseline


def cache_lost_mean(rng: np.random.Generator, size: tuple[int, int], weight: float) -> tuple[Arm, Arm]:
    """The same with misses that do not wander."""
    shift = math.log(8.0)
    return Arm(0.005, second_mode=0.3, second_shift=shift), Arm(0.005, second_mode=0.2, second_shift=shift)


def one_instance(rng: np.random.Generator, size: tuple[int, int], weight: float) -> tuple[Arm, Arm]:
    """One instance of the canary's ten fails a fifth of its requests."""
    share = np.clip(rng.gamma(10.0, 0.01, size), 0.0, 0.5)
    return Arm(0.005 * (1.0 - share) + 0.2 * share), Arm(0.005)


def odds_times(share: float, ratio: float) -> float:
    """The share whose odds are ``ratio`` times those of ``share``."""
    return ratio * share / (1.0 - share + ratio * share)


def at_the_margin(quiet: Scenario) -> Scenario:
    """A release without fault, but for the canary's errors: they have ``NO_HARM`` times the odds at every look."""

    def scenario(rng: np.random.Generator, size: tuple[int, int], weight: float) -> tuple[Arm, Arm]:
        canary, baseline = quiet(rng, size, weight)
        share = np.clip(canary.errors, 0.0, 1.0)
        return replace(canary, errors=NO_HARM * share / (1.0 - share + NO_HARM * share)), baseline

    return scenario


def _tail_width(growth: float) -> float:
    """How much wider the latency must spread above its median for p99 to grow so many times."""
    return 1.0 + math.log(growth) / (float(norm.ppf(0.99)) * SPREAD)


def slow_shift(ratio: float) -> float:
    """Log shift that multiplies the odds of being slower than ``SLOW``."""
    usual = float(norm.sf(math.log(SLOW / MEDIAN) / SPREAD))
    return math.log(SLOW / MEDIAN) - SPREAD * float(norm.isf(odds_times(usual, ratio)))


QUIET, RARE, NOISY = "steady, 0.5 % errors", "steady, 0.1 % errors", "over-dispersed"

FAULTS: dict[str, Fault] = {
    "errors 0.5 -> 1 %": Fault(regression(0.005, 0.01), QUIET, ratio=1.7),
    "errors 0.1 -> 5 %": Fault(regression(0.001, 0.05), RARE, looks=1),
    "crash": Fault(regression(0.001, 1.0), RARE, looks=1),
    "p99 +20 %": Fault(regression(0.005, 0.005, width=_tail_width(1.2)), QUIET, ratio=2.3),
    "latency +10 %": Fault(regression(0.005, 0.005, shift=math.log(1.1)), QUIET, ratio=2.0),
    "slow leak": Fault(regression(0.002, leak), RARE, ratio=1.2),
    "10x errors after 30 min": Fault(regression(0.005, late), QUIET, onset=30 * MINUTE, looks=4),
    "errors 0.1 -> 0.2 %": Fault(regression(0.001, 0.002), RARE),
    "errors 0.5 -> 1 %, over-dispersed": Fault(overdispersed(0.01, 0.005), NOISY, regression(0.005, 0.01)),
    "one instance of ten fails 20 %": Fault(one_instance, QUIET, regression(0.005, 0.0245)),
    "cache misses 20 -> 30 %": Fault(cache_lost, "bimodal latency", cache_lost_mean),
}

AT_THE_MARGIN: dict[str, tuple[Scenario, str]] = {
    "errors at 1.5 times the odds": (regression(0.005, odds_times(0.005, NO_HARM)), QUIET),
    "slow requests at 1.5 times the odds": (regression(0.005, 0.005, shift=slow_shift(NO_HARM)), QUIET),
    **{
        f"errors at 1.5 times the odds, {name}": (at_the_margin(DEVELOPED_ON[name]), name)
        for name in (NOISY, "bursts", "autocorrelated arms")
    },
}
"""As bad as the policy's ``no_harm``: who promotes these promotes harm. With the release they depart from."""
