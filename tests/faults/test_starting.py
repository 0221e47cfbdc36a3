"""The harness starts rollouts as ``coalmine start`` does, and a reset hears that update again."""

from __future__ import annotations

import pytest

from benchmarks.ground import Ground
from benchmarks.simulated_metrics import SimulatedMetrics
from coalmine.records import Phase
from tests.faults.releases import is_in, result, submission
from tests.faults.resets import ROLL_BACK, reset_to, shares
from tests.faults.starting import begin_by_command, end_of
from tests.faults.witness import until

pytestmark = pytest.mark.timeout(600)


async def test_a_reset_of_what_the_command_started_hears_its_submission_again(
    ground: Ground, metrics: SimulatedMetrics
) -> None:
    await ground.worker(1)
    run, asked = await begin_by_command(ground.client, submission(ground, metrics, "approved"))
    await until(lambda: is_in(run, Phase.GATED))
    assert (await asked).disposition == "started"
    await end_of(asked)
    handle = await reset_to(ground, run)
    await until(lambda: is_in(handle, Phase.GATED))
    history = await handle.fetch_history()
    heard = [event.workflow_execution_update_admitted_event_attributes.request.input.name for event in history.events]
    assert "submit" in heard
    await handle.signal("rollback", ROLL_BACK)
    assert (await result(handle)).outcome == "rolled_back"
    assert await shares(ground) == [0, 0]
