"""Which faults happen to which rollout at which moments: wholly decided by a seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

MOMENTS = ("start", "shift", "look", "gate", "rollback", "bake", "window", "close", "random")
_EARLY = ("start", "shift", "look")
_FOLLOWED_BY = {
    **dict.fromkeys(_EARLY, MOMENTS),
    "gate": ("bake", "window", "close"),
    "bake": ("window", "close"),
}
"""Moments that still come after a fault that ends nothing."""
ENDING = frozenset({"workflow-cancel", "workflow-terminate", "two-deciders", "zombie-write", "zombie-after-reset"})
"""Kinds after which a rollout goes back: nothing else comes upon it."""

HELD_KINDS = frozenset({"workflow-cancel", "two-deciders"})
HELD_MOMENTS = ("shift", "rollback")
"""Where those kinds meet the first write: done, and held unconfirmed until they were heard of."""


class TooLate(Exception):
    """Raised by a fault that found nothing to break any more."""


@dataclass(frozen=True)
class PlannedFault:
    """One fault of one rollout."""

    kind: str
    moment: str
    seed: int
    """Of everything random in it."""

    @property
    def part(self) -> str:
        """What it breaks: two faults of one rollout break two parts, at the same time where it happens so."""
        return self.kind.split("-")[0].rstrip("s")

    @property
    def meets_held_write(self) -> bool:
        """Whether the rollout's first write is to be unconfirmed until this fault was heard of."""
        return self.kind in HELD_KINDS and self.moment in HELD_MOMENTS


@dataclass(frozen=True)
class PlannedRollout:
    """One rollout and all its faults, the earliest first."""

    faults: tuple[PlannedFault, ...]
    bad: bool
    """Whether the canary has far more errors than the baseline."""

    @property
    def by_command(self) -> bool:
        """Whether it is started by an update, as ``coalmine start`` does, or as the Temporal UI does."""
        return self.faults[0].seed % 2 == 1


def make_plan(seed: int, faults: int, kinds: Sequence[str], moments: Sequence[str] = MOMENTS) -> list[PlannedRollout]:
    """Kinds in turn, each over all moments in a shuffled order of its own, so that a short plan is a broad one too.

    A fault that does not end its rollout is joined by a later one of another part, while there are any.
    """
    chance = random.Random(seed)
    order = {kind: chance.sample(moments, len(moments)) for kind in kinds}
    planned: list[PlannedFault] = []
    for number in range(faults):
        turn, kind = number // len(kinds), kinds[number % len(kinds)]
        planned.append(PlannedFault(kind, order[kind][turn % len(moments)], chance.randrange(2**31)))
    chance.shuffle(planned)
    firsts = [fault for fault in planned if _leaves_time(fault)]
    rollouts = [[fault] for fault in planned if not _leaves_time(fault)]
    # The latest find their company first: whoever is earlier goes before them.
    for fault in sorted(firsts, key=lambda fault: len(_FOLLOWED_BY[fault.moment])):
        alone = next((one for one in rollouts if len(one) < 3 and _fits(fault, one)), None)
        if alone is None:
            rollouts.append([fault])
        else:
            alone.insert(0, fault)
            # Whoever has company waits for more behind those who have none.
            rollouts.remove(alone)
            rollouts.append(alone)
    chance.shuffle(rollouts)
    return [PlannedRollout(tuple(one), _may_be_bad(one) and chance.random() < 0.3) for one in rollouts]


def that_holds(plan: Sequence[PlannedRollout], seed: int) -> list[PlannedRollout]:
    """The rollout of a plan that holds the fault of this seed, as ``faults.json`` names it; none where none does."""
    return [rollout for rollout in plan if any(fault.seed == seed for fault in rollout.faults)]


def _leaves_time(fault: PlannedFault) -> bool:
    return fault.moment in _FOLLOWED_BY and fault.kind not in ENDING


def _fits(fault: PlannedFault, others: Sequence[PlannedFault]) -> bool:
    """Whether the others, the earliest first, can follow it."""
    if any(fault.part == other.part for other in others):
        return False
    return others[0].moment in _FOLLOWED_BY[fault.moment]


def _may_be_bad(faults: Sequence[PlannedFault]) -> bool:
    """What is bad never comes to the gate or the bake; the write it is stuck in is its own way back, no zombie's."""
    return all(fault.moment in (*_EARLY, "random") and fault.part != "zombie" for fault in faults)
