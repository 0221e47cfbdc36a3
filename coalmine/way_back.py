"""A rollback in steps, for a baseline that has gone cold: where the weights go before the route is as it was. Pure."""

from __future__ import annotations

from datetime import timedelta

from coalmine.records import Finding, Weights
from coalmine.rollout import RolloutState

COLD = 50.0
"""Percent: a baseline that still has more than the rest of it is warm, and gets everything back at once."""


def steps_back(now: Weights, snapshot: Weights, steps: int) -> list[Weights]:
    """The weights of each step from what is shown to the snapshot, which is the last.

    Args:
        now: Percent by backend, as shown.
        snapshot: Percent by backend, as it was before the first write.
        steps: How many, at least one.
    """
    return [*(_between(now, snapshot, step / steps) for step in range(1, steps)), dict(snapshot)]


def _between(now: Weights, snapshot: Weights, part: float) -> Weights:
    """So far on the way, in hundredths: routers take nothing finer. What rounding leaves goes where the way leads."""
    names = sorted({*now, *snapshot})
    here, there = ({name: weights.get(name, 0.0) for name in names} for weights in (now, snapshot))
    between = {name: round(here[name] + (there[name] - here[name]) * part, 2) for name in names}
    most = max(names, key=lambda name: there[name])
    between[most] = round(between[most] + 100.0 - sum(between.values()), 2)
    return between


def goes_in_steps(state: RolloutState) -> bool:
    """Whether the rollback goes back in steps, or has begun to.

    Not where most requests fail at the canary (a cold baseline is better), nor where somebody cancelled the workflow or
    said `rollback` once more.
    """
    if state.spec.rollback.over <= timedelta(0) or state.at_once or state.cancelled:
        return False
    known = state.snapshot is not None and state.written and not state.advise
    begun = bool(state.back_from)
    return known and (begun or (state.canary_share() >= COLD and state.finding is not Finding.CRASH))


def pause_between(state: RolloutState) -> timedelta:
    """From one step to the next: the last is reached when ``rollback.over`` has passed."""
    rollback = state.spec.rollback
    pause: timedelta = rollback.over / (rollback.steps - 1)
    return pause
