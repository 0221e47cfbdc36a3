"""Which fault happens to which rollout at which moment: wholly decided by a seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

MOMENTS = ("start", "shift", "look", "gate", "rollback", "bake", "random")


@dataclass(frozen=True)
class PlannedFault:
    """One fault of one rollout."""

    kind: str
    moment: str
    seed: int
    """Of everything random in it."""
    bad: bool
    """Whether the canary has far more errors than the baseline."""


def make_plan(seed: int, faults: int, kinds: Sequence[str]) -> list[PlannedFault]:
    """Kinds in turn, each over all moments in a shuffled order of its own, so that a short plan is a broad one too."""
    chance = random.Random(seed)
    order = {kind: chance.sample(MOMENTS, len(MOMENTS)) for kind in kinds}
    plan: list[PlannedFault] = []
    for number in range(faults):
        turn, kind = number // len(kinds), kinds[number % len(kinds)]
        moment = order[kind][turn % len(MOMENTS)]
        # What is bad never comes to the gate or the bake.
        bad = chance.random() < 0.3 and moment in ("start", "shift", "look", "random")
        plan.append(PlannedFault(kind, moment, chance.randrange(2**31), bad))
    chance.shuffle(plan)
    return plan
