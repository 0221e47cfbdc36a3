"""Whether a later rollout has the route: the list of runs is a moment behind what a reset has just ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activities.recall import RecallActivities
from coalmine.ownership import Run

AT = datetime(2026, 1, 1, tzinfo=UTC)
LISTED_OPEN = Run(workflow_id="canary/test/checkout", run_id="later", open=True, started_at=AT + timedelta(hours=1))


class Runs:
    """What one run is now."""

    def __init__(self, now: Run | None) -> None:
        self.now = now
        self.asked: list[str] = []

    async def described(self, workflow_id: str, run_id: str) -> Run | None:
        self.asked.append(run_id)
        return self.now


@pytest.mark.parametrize(("ended", "open_still"), [("terminated", False), ("", True), (None, True)])
async def test_a_run_that_is_listed_as_open_is_asked_for(ended: str | None, open_still: bool) -> None:
    now = None if ended is None else LISTED_OPEN.model_copy(update={"open": not ended, "ended": ended})
    activities: Any = RecallActivities.__new__(RecallActivities)
    activities._runs = Runs(now)
    assert (await activities._now(LISTED_OPEN)).open is open_still
    closed = LISTED_OPEN.model_copy(update={"open": False})
    assert await activities._now(closed) is closed
    assert activities._runs.asked == ["later"]
