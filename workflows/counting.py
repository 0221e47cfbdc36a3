"""What a rollout decided, counted in the worker's own metrics (docs/observability.md).

The SDK's meter for workflows counts nothing while a history is replayed, and adds nothing to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from coalmine.rollout import RolloutState

AT_ZERO = (
    *("advance", "promote", "promoted", "gate", "hold", "no_data", "roll_back"),
    *("restore_slow", "restore_failed", "overtaken", "undelivered"),
)
"""Kinds of entries whose counters begin with the rollout: Prometheus sees no increase from nothing to 1."""


ENDS_AT_ZERO = (
    *(("promoted", ""), ("rejected", "human"), ("failed", "error")),
    *(("rolled_back", cause) for cause in ("analysis", "human", "deadline", "incident")),
)
"""Likewise: outcomes, and what brought them about."""


def begin(state: RolloutState) -> None:
    """The counters that alerts and dashboards watch, at zero."""
    for kind in AT_ZERO:
        _entries(state, kind, 0)
    for outcome, cause in ENDS_AT_ZERO:
        _closed(state, outcome, cause, 0)


def count_entry(state: RolloutState, kind: str) -> None:
    """An entry of the record; a ``closed`` one also by outcome and cause."""
    _entries(state, kind, 1)
    if kind == "closed":
        outcome = state.outcome or ("cancelled" if state.cancelled else "advice")
        _closed(state, str(outcome), str(state.cause or ""), 1)


def count_restore(state: RolloutState, seconds: float) -> None:
    """A route that reads back right again, and how long that took since the decision."""
    histogram = workflow.metric_meter().create_histogram_timedelta(
        "coalmine_restore", "From the decision to roll back until the route reads back right"
    )
    histogram.record(timedelta(seconds=max(seconds, 0)), _labels(state))


def _entries(state: RolloutState, kind: str, number: int) -> None:
    counter = workflow.metric_meter().create_counter("coalmine_decisions", "Entries of the record, looks left out")
    counter.add(number, {**_labels(state), "kind": kind})


def _closed(state: RolloutState, outcome: str, cause: str, number: int) -> None:
    counter = workflow.metric_meter().create_counter("coalmine_rollouts_closed", "Rollouts that ended")
    counter.add(number, {**_labels(state), "outcome": outcome, "cause": cause})


def _labels(state: RolloutState) -> Mapping[str, str]:
    spec = state.spec
    return {"environment": spec.environment, "service": spec.service, "region": spec.region or ""}
