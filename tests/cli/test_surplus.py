"""A signal with two inputs, as `temporal workflow signal --input a --input b` sends it, meets a real worker."""

from __future__ import annotations

from coalmine import guard_client
from coalmine.records import GuardSettings, guard_id
from tests.cli.conftest import Desk


async def test_it_is_refused_and_the_rollout_goes_on(busy_desk: Desk) -> None:
    handle = busy_desk.client.get_workflow_handle(busy_desk.ref.workflow_id)
    await handle.signal("pause", args=[{"by": "ana"}, {"by": "bo"}])
    status = await busy_desk.until(lambda status: bool(status.refused))
    assert "'pause' takes one input, got 2" in status.refused[-1].reason
    await handle.signal("rollback", {"by": "ana", "reason": "enough"})
    await handle.result()


async def test_a_word_that_takes_no_input_ignores_one(desk: Desk) -> None:
    await guard_client.turn_on(desk.client, "test", GuardSettings(by="ana"))
    await desk.client.get_workflow_handle(guard_id("test")).signal("look", "now")
    assert (await guard_client.status(desk.client, "test")).running
