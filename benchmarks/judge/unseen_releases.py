"""Releases without fault, on noise added later; of it the judge was tuned on slow clients alone."""

from __future__ import annotations

import numpy as np

from benchmarks.judge.traffic import LOOKS, MINUTE, REQUESTS_PER_LOOK, Arm, Scenario, Values, wander

INSTANCES = 10


def diurnal_load(rng: np.random.Generator, size: tuple[int, int], weight: float) -> tuple[Arm, Arm]:
    """Load swings by 70 % within the hour, from a random phase; both arms fail and slow down more under load."""
    phase = rng.uniform(0.0, 2.0 * np.pi, (size[0], 1))
    swing = np.sin(phase + 2.0 * np.pi * np.arange(size[1]) / LOOKS)
    both = Arm(0.005 * np.exp(0.8 * swing), 0.15 * swing, load=1.0 + 0.7 * swing)
    return both, both


def gaps_in_one_arm(rng: np.random.Generator, size: tuple[int, int], weight: float) -> tuple[Arm, Arm]:
    """The series of one arm vanish about six times an hour, for one to twelve looks."""
    gone = np.zeros(size, bool)
    for run, starts in enumerate(rng.random(size) < 6.0 / LOOKS):
        for start in np.flatnonzero(starts):
            gone[run, start : start + rng.integers(1, 2 * MINUTE + 1)] = True
    whose = rng.random((size[0], 1)) < 0.5
    return Arm(0.005, present=~(gone & whose)), Arm(0.005, present=~(gone & ~whose))


def counter_resets(rng: np.random.Generator, size: tuple[int, int], weight: float) -> tuple[Arm, Arm]:
    """One look in fifty an arm's instances restart: what they counted since the last sample is lost."""

    def arm() -> Arm:
        return Arm(0.005, kept=np.where(rng.random(size) < 0.02, rng.random(size), 1.0))

    return arm(), arm()


def bad_instance(rng: np.random.Generator, size: tuple[int, int], weight: float) -> tuple[Arm, Arm]:
    """One instance of ten in each arm fails ten times as often and is slow; how much it gets changes look by look."""

    def arm() -> Arm:
        share = np.clip(rng.gamma(10.0, 1.0 / (10.0 * INSTANCES), size), 0.0, 0.5)
        return Arm(0.0026 * (1.0 + 9.0 * share), second_mode=share, second_shift=np.log(2.0))

    return arm(), arm()


def bimodal_latency(rng: np.random.Generator, size: tuple[int, int], weight: float) -> tuple[Arm, Arm]:
    """A cache before a slow store: a fifth misses and takes eight times as long; the share wanders in both together."""
    misses = np.clip(0.2 * np.exp(wander(rng, size, 0.95, 0.3)), 0.0, 0.9)
    both = Arm(0.005, second_mode=misses, second_shift=np.log(8.0))
    return both, both


def slow_clients(rng: np.random.Generator, size: tuple[int, int], weight: float) -> tuple[Arm, Arm]:
    """About 3 % of the clients are on slow networks and fail more; each client's ten requests go to one arm."""
    share = np.clip(0.03 * np.exp(wander(rng, size, 0.9, 0.3)), 0.0, 0.5)

    def arm(part: float) -> Arm:
        clients = max(1, round(part * REQUESTS_PER_LOOK / 10))
        slow: Values = rng.binomial(clients, share) / clients
        return Arm(0.004 * (1.0 - slow) + 0.04 * slow, second_mode=slow, second_shift=np.log(6.0))

    return arm(weight), arm(1.0 - weight)


UNSEEN: dict[str, Scenario] = {
    "diurnal load": diurnal_load,
    "gaps in one arm": gaps_in_one_arm,
    "counter resets": counter_resets,
    "one bad instance of ten": bad_instance,
    "bimodal latency": bimodal_latency,
    "slow clients": slow_clients,
}
