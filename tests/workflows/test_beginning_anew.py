"""A run that a reset made from the first task on: what the run before left goes back, whatever becomes of this one.

Here the run that follows another in line stands in for it, which asks too; tests/faults/test_resets.py resets.
"""

from __future__ import annotations

from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from coalmine.records import Check, Outcome, Phase, RolloutReport
from tests.histories.record import another
from tests.workflows.driving import Rollout
from tests.workflows.specs import make_spec, make_submission
from tests.workflows.world import World, leave

FOLLOWING = another("1.3.0", "supersede")
LEFT = {"checkout-v1": 90.0, "checkout-v3": 10.0}
AT_REST = {"checkout-v1": 100.0, "checkout-v3": 0.0}


async def _first(rollout: Rollout) -> None:
    await rollout.submit(make_submission(make_spec()))
    await rollout.until(lambda status: status.looks == 1)


async def _follows(rollout: Rollout) -> RolloutReport:
    await rollout.submit(FOLLOWING)
    await rollout.until(lambda status: status.version == "1.3.0")
    return await rollout.result()


def _entries(world: World, kind: str) -> list[Any]:
    return [entry for entry in world.ledger.values() if entry.kind == kind and "1.3.0" in entry.rollout_id]


async def test_the_route_is_put_back_then_the_rollout_begins(rollout: Rollout, world: World) -> None:
    await _first(rollout)
    leave(world, FOLLOWING.spec, 10)
    report = await _follows(rollout)
    assert report.outcome is Outcome.PROMOTED, report.reason
    shares = [write.weights.get("checkout-v3") for write in world.writes if "checkout-v3" in write.weights]
    assert shares[:2] == [0, 10]
    [recalled] = _entries(world, "recalled")
    assert recalled.data["found"] == LEFT
    assert recalled.data["rest"] == AT_REST
    assert "left checkout-v1 90 %, checkout-v3 10 %" in recalled.reason
    [admitted] = _entries(world, "admitted")
    assert admitted.data["snapshot"] == AT_REST


async def test_it_keeps_its_id_though_the_fleet_has_forgotten_that_it_was_given_one(
    rollout: Rollout, world: World
) -> None:
    await _first(rollout)
    leave(world, FOLLOWING.spec, 10)
    world.numbers["1.3.0"] = 1
    report = await _follows(rollout)
    assert report.rollout_id == "test/checkout/1.3.0/1"
    assert {rollout_id for rollout_id, _ in world.ledger if "1.3.0" in rollout_id} == {report.rollout_id}


async def test_also_where_the_rollout_is_not_admitted(rollout: Rollout, world: World) -> None:
    await _first(rollout)
    leave(world, FOLLOWING.spec, 10)
    world.checks = [Check(ok=False, name="router", reason="cannot split")]
    report = await _follows(rollout)
    assert report.outcome is Outcome.BLOCKED
    assert "cannot split" in report.reason
    assert world.route == AT_REST


async def test_a_write_of_the_run_before_that_comes_late_is_found_though_the_rollout_is_not_admitted(
    rollout: Rollout, world: World
) -> None:
    await _first(rollout)
    leave(world, FOLLOWING.spec, 10)
    world.lease = 60
    world.checks = [Check(ok=False, name="router", reason="cannot split")]
    await rollout.submit(FOLLOWING)
    await rollout.until(lambda status: status.version == "1.3.0" and status.phase is Phase.ROLLING_BACK)
    await rollout.happens(lambda: len([write for write in world.writes if write.weights == AT_REST]) == 2)
    world.route = dict(LEFT)
    report = await rollout.result()
    assert report.outcome is Outcome.BLOCKED
    assert world.route == AT_REST


async def test_a_router_that_refuses_is_asked_again_and_a_person_can_end_it(rollout: Rollout, world: World) -> None:
    await _first(rollout)
    await rollout.submit(another("1.3.0", "queue"))
    await rollout.send("rollback")
    leave(world, FOLLOWING.spec, 10)
    await rollout.until(lambda status: status.version == "1.3.0" or world.canary == 0)
    world.shift_failing, world.shift_failing_final = "RouteRejected", True
    await rollout.until(lambda status: status.version == "1.3.0")
    await rollout.sleep(90)
    assert _entries(world, "restore_failed")
    assert _entries(world, "restore_slow")
    await rollout.send("rollback", reason="enough")
    world.shift_failing = ""
    report = await rollout.result()
    assert report.outcome is Outcome.ROLLED_BACK
    assert world.route == AT_REST


@pytest.mark.parametrize("why", ["nobody can tell", "promoted", "others have traffic"])
async def test_what_cannot_be_told_or_is_not_ours_stays_as_it_is(rollout: Rollout, world: World, why: str) -> None:
    await _first(rollout)
    leave(world, FOLLOWING.spec, 10, ended="promoted" if why == "promoted" else "terminated")
    if why == "others have traffic":
        world.left = {"checkout-v1": 50.0, "checkout-v9": 50.0}
    if why == "nobody can tell":
        world.recall_error = ApplicationError("sealed", type="HistoryUnreadable", non_retryable=True)
    report = await _follows(rollout)
    if why == "nobody can tell":
        # Nothing was left, so nothing is lost: it begins, and the record says that it could not be asked.
        assert report.outcome is Outcome.PROMOTED
        assert [entry.reason for entry in _entries(world, "recall_failed")] == ["HistoryUnreadable: sealed"]
        told = [notice.notification.text for notice in world.notices]
        assert len([text for text in told if "look at the route" in text and "sealed" in text]) == 1
        return
    assert report.outcome is Outcome.BLOCKED
    assert "the baseline checkout-v1 must have all traffic" in report.reason
    assert world.route == world.left
