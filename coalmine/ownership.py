"""Who a route belongs to, and what it has to show while it belongs to nobody. Pure.

A rollout that runs owns its route. When none runs, the latest one that ever wrote the route says where it rests: wholly
on the canary when it was promoted, else on what its snapshot showed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from coalmine.records import Drift, Outcome, Record, RouteState, Watched, Weights
from coalmine.spec.canary import CanarySpec

RESET_IN_WINDOW = "reset in its window"
"""How a promoted run ended that one word could still take back."""
TOLERANCE = 0.005
"""Percent that two readings of one weight may differ."""


class Run(Record):
    """One run of a rollout's workflow, as Temporal lists it."""

    workflow_id: str
    run_id: str
    open: bool
    ended: str = ""
    """How, in lower case: ``completed`` ``terminated`` ``timed_out`` ``canceled`` ``failed`` ``continued_as_new``."""
    outcome: str = ""
    """Of the rollout, empty while it has none."""
    phase: str = ""
    """Of the rollout, as it showed it last."""
    problems: list[str] = []
    """What the server reports of its tasks, where they fail again and again."""
    started_at: datetime
    closed_at: datetime | None = None


class RunFacts(Record):
    """What a run's history says of its route; a run without a submission has none."""

    spec: CanarySpec
    rollout_id: str = ""
    written: bool = False
    """A write was attempted, in this run or in one that was continued in it; not what a reset copied into it."""
    snapshot: Weights = {}
    to_archive: list[str] = []
    """Earlier runs of the rollout whose history was not kept when this one began."""


@dataclass(frozen=True)
class LastTasks:
    """What a run's history says of its last workflow tasks; empty where it says nothing."""

    build: str = ""
    """Of the worker that did the last one that was done."""
    failure: str = ""
    worker: str = ""
    """The identity of the one that failed."""


def newest_first(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """Runs by workflow id, the latest first."""
    by_id: dict[str, list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.started_at, reverse=True):
        by_id.setdefault(run.workflow_id, []).append(run)
    return by_id


def rest_of(run: Run, facts: RunFacts, *, in_window: bool = False) -> Watched | None:
    """What a closed run leaves its route at; None when it never wrote, so that an earlier one tells.

    Args:
        run: Any run of a rollout.
        facts: What its history says.
        in_window: A reset ended it while one word still took back what was promoted: it rests on its snapshot.
    """
    if run.open or not facts.written or not facts.snapshot:
        return None
    arms, promoted = facts.spec.arms, run.outcome == Outcome.PROMOTED and not in_window
    rest = {arms.baseline.backend: 0.0, arms.canary.backend: 100.0} if promoted else facts.snapshot
    return watched_of(run, facts, rest, RESET_IN_WINDOW if in_window else run.outcome or run.ended.replace("_", " "))


def watched_of(run: Run, facts: RunFacts, rest: Weights, ended: str) -> Watched:
    """A run's route, and whom to tell about it."""
    spec, arms = facts.spec, facts.spec.arms
    return Watched(
        workflow_id=run.workflow_id,
        run_id=run.run_id,
        rollout_id=facts.rollout_id,
        service=spec.service,
        environment=spec.environment,
        region=spec.region,
        route=spec.route,
        baseline=arms.baseline.backend,
        canary=arms.canary.backend,
        rest=rest,
        ended=ended,
        closed_at=run.closed_at,
        ledger=spec.ledger,
        notify=spec.notify,
    )


def same_weights(left: Weights, right: Weights) -> bool:
    """Whether two routes send traffic alike; a backend that is not named gets nothing."""
    return all(abs(left.get(name, 0.0) - right.get(name, 0.0)) < TOLERANCE for name in {*left, *right})


def drift_of(wanted: Weights, shown: RouteState) -> Drift | None:
    """What a route shows, on any proxy, instead of the weights wanted; None when it is all the same."""
    readings = [shown.weights, *(proxy.weights for proxy in shown.proxies if proxy.weights)]
    wrong = next((weights for weights in readings if not same_weights(weights, wanted)), None)
    if wrong is None:
        return None
    return Drift(weights=wrong, generation=max([shown.generation, *(proxy.generation for proxy in shown.proxies)]))


def weights_text(weights: Weights) -> str:
    """``checkout-v1 90 %, checkout-v2 10 %``; backends without traffic are left out."""
    return ", ".join(f"{name} {weight:g} %" for name, weight in sorted(weights.items()) if weight) or "nothing"
