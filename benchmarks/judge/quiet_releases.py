"""Releases without fault, on the noise the judge was developed on: whatever rolls one of them back is wrong."""

from __future__ import annotations

import numpy as np

from benchmarks.judge.traffic import MINUTE, Arm, Scenario, episode, wander


def steady(rate: float) -> Scenario:
    """The same constant error rate in both arms."""

    def scenario(rng: np.random.Generator, size: tuple[int, int], weight: float) -> tuple[Arm, Arm]:
        return Arm(rate), Arm(rate)

    return scenario


def shared_shocks(rng: np.random.Generator, size: tuple[int, int], weight: float) -> tuple[Arm, Arm]:
    """Errors and latency wander together in both arms, with a tenfold spike of three minutes."""
    spike = episode(rng, size, 3 * MINUTE)
    errors = 0.005 * np.exp(wander(rng, size, 0.9, 0.5)) * np.where(spike, 10.0, 1.0)
    both = Arm(errors, wander(rng, size, 0.9, 0.1) + np.where(spike, 0.4, 0.0))
    return both, both


def shared_outage(rng: np.random.Generator, size: tuple[int, int], weight: float) -> tuple[Arm, Arm]:
    """A dependency dies: 60 to 100 % of the requests of both arms fail for five minutes."""
    share = rng.uniform(0.6, 1.0, (size[0], 1))
    both = Arm(np.where(episode(rng, size, 5 * MINUTE), share, 0.005))
    return both, both


def overdispersed(canary: float = 0.005, baseline: float = 0.005) -> Scenario:
    """Each arm's error rate is redrawn at each look (coefficient of variation 50 %), and so is its latency (3 %)."""

    def scenario(rng: np.random.Generator, size: tuple[int, int], weight: float) -> tuple[Arm, Arm]:
        def arm(rate: float) -> Arm:
            return Arm(rate * rng.gamma(4.0, 0.25, size), 0.03 * rng.standard_normal(size))

        return arm(canary), arm(baseline)

    return scenario


def bursts(rng: np.random.Generator, size: tuple[int, int], weight: float) -> tuple[Arm, Arm]:
    """One look in a hundred of either arm has twenty times the errors."""

    def arm() -> Arm:
        return Arm(0.005 * np.where(rng.random(size) < 0.01, 20.0, 1.0))

    return arm(), arm()


def autocorrelated(rng: np.random.Generator, size: tuple[int, int], weight: float) -> tuple[Arm, Arm]:
    """Errors and latency of each arm wander by themselves, for minutes at a time."""

    def arm() -> Arm:
        return Arm(0.005 * np.exp(wander(rng, size, 0.8, 0.47) - 0.11), wander(rng, size, 0.8, 0.03))

    return arm(), arm()


DEVELOPED_ON: dict[str, Scenario] = {
    "steady, 0.5 % errors": steady(0.005),
    "steady, 0.1 % errors": steady(0.001),
    "shared shocks": shared_shocks,
    "shared outage": shared_outage,
    "over-dispersed": overdispersed(),
    "bursts": bursts,
    "autocorrelated arms": autocorrelated,
}
