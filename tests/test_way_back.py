"""The steps of a rollback: never more to the canary, never lost traffic, and the snapshot at the end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.routers.weights import weight_units
from coalmine.records import Finding, RouteState
from coalmine.rollout import RolloutState
from coalmine.way_back import goes_in_steps, pause_between, steps_back
from tests.workflows.specs import make_spec, make_submission

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@given(st.integers(0, 10_000), st.integers(1, 20), st.booleans())
def test_it_goes_down_evenly_to_the_snapshot(hundredths: int, steps: int, third: bool) -> None:
    canary = hundredths / 100
    snapshot = {"v1": 90.0, "v0": 10.0} if third else {"v1": 100.0}
    now = {"v1": 100 - canary, "v2": canary}
    weights = steps_back(now, snapshot, steps)
    assert len(weights) == steps
    assert weights[-1] == snapshot
    shares = [canary, *(step.get("v2", 0.0) for step in weights)]
    assert shares == sorted(shares, reverse=True)
    for step in weights:
        # What every router takes: hundredths of a percent that sum to 100.
        assert sum(weight_units(step).values()) == 10_000


def rollout(canary: float = 100.0, over: str = "2m", **changes: Any) -> RolloutState:
    spec = make_spec(rollback={"over": over, "steps": 5})
    state = RolloutState.begin(make_submission(spec), "canary/test/checkout", "run", NOON)
    state.snapshot, state.written = RouteState(weights={"checkout-v1": 100.0}, generation=1), True
    state.weights = {"checkout-v1": 100 - canary, "checkout-v2": canary}
    return state.model_copy(update=changes)


def test_pauses_add_up_to_what_was_asked_for() -> None:
    assert pause_between(rollout()) == timedelta(seconds=30)


@pytest.mark.parametrize(
    ("state", "steps"),
    [
        (rollout(), True),
        (rollout(50.0), True),
        (rollout(49.9), False),
        (rollout(25.0, back_from={"checkout-v2": 100.0}), True),
        (rollout(over="0s"), False),
        (rollout(finding=Finding.HARM), True),
        (rollout(finding=Finding.CRASH), False),
        (rollout(at_once=True), False),
        (rollout(cancelled=True), False),
        (rollout(written=False), False),
        (rollout(snapshot=None), False),
    ],
)
def test_only_a_cold_baseline_is_warmed_and_never_while_the_canary_is_dead(state: RolloutState, steps: bool) -> None:
    assert goes_in_steps(state) is steps
