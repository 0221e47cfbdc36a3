"""The worker with one promise taken out of it: what the fault harness must catch.

``FAULTS_BROKEN`` says which; it is read here alone, and nothing of this is in the product.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import worker
from activities.routers import route_files
from coalmine import commands
from coalmine.records import Weights
from coalmine.rollout import RolloutState
from tests.faults.plan import HELD_MOMENTS

VARIABLE = "FAULTS_BROKEN"


def no_fencing() -> None:
    """A write under an older generation goes through."""

    def is_written(reading: Any, units: Mapping[str, int], generation: int) -> bool:
        return False

    route_files.is_written = is_written


def no_compensation() -> None:
    """The way back is registered only after the write was confirmed: one that is cut short is forgotten."""
    regular = RolloutState.__setattr__

    def late(self: RolloutState, name: str, value: Any) -> None:
        if name == "written" and value and self.canary_share() == 0:
            return
        regular(self, name, value)
        if name == "weights" and self.canary_share() > 0:
            regular(self, "written", True)

    RolloutState.__setattr__ = late  # type: ignore[method-assign, assignment]


def unbound_approval() -> None:
    """An approval opens whichever gate waits, whatever gate and attempt it names."""
    regular = commands._gate_or_reason

    def unbound(state: RolloutState, command: Any) -> Any:
        return regular(state, command.model_copy(update={"gate": None, "attempt": None}))

    commands._gate_or_reason = unbound


def skip_step() -> None:
    """Where the second step is due everything is given: what was looked at is passed over."""
    regular = RolloutState.step_weights

    def skipping(self: RolloutState, index: int) -> Weights:
        return regular(self, index + 1 if index else index)

    RolloutState.step_weights = skipping  # type: ignore[method-assign]


BROKEN: dict[str, Callable[[], None]] = {
    "no-fencing": no_fencing,
    "no-compensation": no_compensation,
    "unbound-approval": unbound_approval,
    "skip-step": skip_step,
}

TOUCHED = {
    "no-fencing": ["zombie-write", "zombie-after-reset"],
    "no-compensation": ["workflow-cancel", "two-deciders"],
    "unbound-approval": ["stale-approvals"],
    # Any that lets the second step come meets it.
    "skip-step": ["webhook-hanging", "garbage-signals", "second-start"],
}
"""The kinds of faults that meet each promise."""

MET_AT = {"no-compensation": HELD_MOMENTS, "skip-step": ("look", "gate", "bake"), "unbound-approval": ("gate",)}
"""The moments of those kinds that meet it every time, where there are some."""

if __name__ == "__main__":
    BROKEN[os.environ[VARIABLE]]()
    worker.entry()
