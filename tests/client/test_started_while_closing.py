"""A retry in CI while the rollout before is over, but hands its record over still."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from coalmine import starting
from coalmine.client import START_WITHIN
from coalmine.executions import Execution, describe
from coalmine.records import Outcome, Phase
from tests.workflows.conftest import live, world
from tests.workflows.driving import Rollout
from tests.workflows.specs import make_submission, quick
from tests.workflows.test_admission import next_version
from tests.workflows.world import World

__all__ = ["live", "world"]

SHORT = {"bake": "0s", "rollback_window": "1s"}


async def closing(live: Rollout, world: World, service: str) -> Any:
    """The submission of a rollout that was promoted, and cannot hand its record over."""
    submission = make_submission(quick(service=service, promotion=SHORT))
    await live.start(submission)
    await live.reach(Phase.WINDOW)
    world.ledger_down = True
    status = await live.reach(Phase.CLOSED)
    assert status.outcome is Outcome.PROMOTED
    return submission


async def test_it_hears_of_the_promotion(live: Rollout, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    submission = await closing(live, world, "closing")
    seen = asyncio.Event()

    async def looked_at(*given: Any) -> Execution:
        try:
            return await describe(*given)
        finally:
            seen.set()

    monkeypatch.setattr(starting, "describe", looked_at)
    again = asyncio.create_task(starting.start(live.client, submission, START_WITHIN))
    await seen.wait()
    world.ledger_down = False
    receipt = await again
    assert (receipt.disposition, receipt.rollout_id) == ("promoted", "test/closing/1.1.0/1")


async def test_another_version_does_not_wait_for_it(live: Rollout, world: World) -> None:
    await closing(live, world, "closing-other")
    other = make_submission(quick(service="closing-other", arms=next_version(), promotion=SHORT))
    receipt = await starting.start(live.client, other, START_WITHIN)
    assert receipt.disposition == "rejected"
    assert receipt.reason == "the rollout before has just promoted and is closing: try again in a moment"
    world.ledger_down = False
