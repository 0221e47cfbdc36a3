"""``temporal workflow reset``: a run that takes over from one whose writes it does not remember."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from datetime import timedelta

import pytest
from temporalio.client import WorkflowQueryFailedError
from temporalio.service import RPCError

from activities.routers.locked_files import locked
from benchmarks.ground import CANARY, Ground, WorkerProcess
from benchmarks.simulated_metrics import SimulatedMetrics
from coalmine.records import Phase, RolloutReport, RolloutStatus
from tests.faults.releases import (
    ROUTE,
    Handle,
    is_in,
    locked_by_writers,
    opens,
    release,
    result,
    shifted,
    submission,
    task_that_ordered,
)
from tests.faults.resetting import reset
from tests.faults.witness import Witness, ledger, stopped, until, watching

pytestmark = pytest.mark.timeout(600)
ROLL_BACK = {"by": "ana", "reason": "fault test"}


@asynccontextmanager
async def forgetting(
    ground: Ground, metrics: SimulatedMetrics, restored: Callable[[Handle, Witness], Callable[[], Awaitable[bool]]]
) -> AsyncIterator[tuple[Handle, Witness, WorkerProcess]]:
    """A worker was frozen in a shift, a reset forgot that it was ordered, and wakes up when the route is restored."""
    zombie = await ground.worker(1)
    file, lock = locked_by_writers(ground)
    with ExitStack() as thaw:
        async with watching(ground, ROUTE) as witness:
            with locked([file]):
                handle = await release(ground, metrics, kind="approved")
                await until(lambda: opens(lock, zombie))
                thaw.enter_context(stopped(zombie.pid))
            # The run that takes over begins before the shift was ordered, and hears at once that it must not be.
            ordered = await task_that_ordered(handle, "shift")
            handle = await _reset(ground, handle, ordered)
            await handle.signal("rollback", ROLL_BACK)
            await ground.worker(2)
            await until(restored(handle, witness))
            thaw.close()
            yield handle, witness, zombie
            await zombie.stop()


async def _reset(ground: Ground, handle: Handle, task: int | None = None) -> Handle:
    """Reset to a task, or to the first one; the handle of whatever runs under the id then."""
    run = ground.client.get_workflow_handle(handle.id, run_id=handle.result_run_id, result_type=RolloutReport)
    assert await reset(ground.client, run, lambda done: task or done[0], f"reset-{run.run_id}-{task}")
    return ground.client.get_workflow_handle(handle.id, result_type=RolloutReport)


async def test_a_write_that_a_reset_forgot_finds_a_fence(ground: Ground, metrics: SimulatedMetrics) -> None:
    restored = forgetting(ground, metrics, lambda _, witness: lambda: witness.rests_at(generation=1))
    async with restored as (handle, witness, zombie):
        report = await result(handle)
    assert "StaleGeneration" in zombie.log.read_text()
    assert report.outcome == "rolled_back", report.reason
    assert await witness.faults(report, allowed={0}) == []


async def test_on_an_advisory_router_the_write_that_a_reset_forgot_is_reconciled(
    ground: Ground, metrics: SimulatedMetrics
) -> None:
    ground.worker_module = "tests.faults.advisory_worker"
    restored = forgetting(ground, metrics, lambda handle, _: lambda: shifted(handle, generation=1))
    async with restored as (handle, witness, _):
        # The run that goes on never ordered it. It waits a lease all the same, and finds it.
        await witness.shows(10)
        report = await result(handle)
        assert [await ground.canary_share(envoy) for envoy in ground.envoys[ROUTE]] == [0, 0]
    assert report.outcome == "rolled_back", report.reason
    assert [e["kind"] for e in ledger(ground.folder, report.rollout_id)].count("reconciled") == 1


@pytest.mark.parametrize("module", ["worker", "tests.faults.advisory_worker"])
async def test_begun_anew_at_10_percent_a_rollout_puts_the_route_back_first(
    ground: Ground, metrics: SimulatedMetrics, module: str
) -> None:
    ground.worker_module = module
    await ground.worker(1)
    async with watching(ground, ROUTE) as witness:
        first = await release(ground, metrics, kind="approved")
        await until(lambda: is_in(first, Phase.GATED))
        handle = await _reset(ground, first)
        await until(lambda: shifted(handle, generation=3))
        await witness.shows(10)
        await handle.signal("rollback", ROLL_BACK)
        report = await result(handle)
    assert report.outcome == "rolled_back", report.reason
    assert await witness.faults(report, allowed={0, 10}) == []
    kinds = [entry["kind"] for entry in ledger(ground.folder, report.rollout_id)]
    assert kinds.index("recalled") < len(kinds) - kinds[::-1].index("admitted")
    [recalled] = [entry["data"] for entry in ledger(ground.folder, report.rollout_id) if entry["kind"] == "recalled"]
    assert recalled["run_id"] == first.result_run_id
    assert recalled["found"][CANARY] == 10


async def test_begun_anew_twice_a_rollout_puts_back_what_the_first_run_found(
    ground: Ground, metrics: SimulatedMetrics
) -> None:
    worker = await ground.worker(1)
    file, lock = locked_by_writers(ground)
    async with watching(ground, ROUTE) as witness:
        handle = await release(ground, metrics, kind="approved")
        await until(lambda: is_in(handle, Phase.GATED))
        with locked([file]):
            # The second run reads 10 % before it can write: that is not what the rollout began with.
            handle = await _reset(ground, handle)
            await until(lambda: opens(lock, worker))
            handle = await _reset(ground, handle)
            await handle.signal("rollback", ROLL_BACK)
        report = await result(handle)
        assert [await ground.canary_share(envoy) for envoy in ground.envoys[ROUTE]] == [0, 0]
    assert report.outcome == "rolled_back", report.reason
    assert report.rollout_id.endswith("2.0.0/1")
    assert await witness.faults(report, allowed={0, 10}) == []


async def test_a_reset_of_an_old_rollout_takes_nothing_from_a_later_one_nor_back_what_was_promoted(
    ground: Ground, metrics: SimulatedMetrics
) -> None:
    await ground.worker(1)
    old = await release(ground, metrics, kind="approved")
    await until(lambda: is_in(old, Phase.GATED))
    await old.signal("rollback", ROLL_BACK)
    assert (await result(old)).outcome == "rolled_back"
    promoted = await release(ground, metrics, kind="approved", version="2.0.1")
    await until(lambda: is_in(promoted, Phase.GATED))
    await promoted.signal("approve", {"by": "bo", "reason": "fault test"})
    await promoted.signal("promote", {"by": "ana", "reason": "the judge takes its time"})
    assert (await result(promoted)).outcome == "promoted"
    # The server gives a reset run the signals again: the old one hears its rollback at once, with nothing to restore.
    for run, outcome in ((old, "rolled_back"), (promoted, "blocked")):
        handle = await _reset(ground, run)
        report = await result(handle)
        assert report.outcome == outcome, report.reason
        assert [await ground.canary_share(envoy) for envoy in ground.envoys[ROUTE]] == [100, 100]


async def _shares(ground: Ground) -> list[float]:
    return [await ground.canary_share(envoy) for envoy in ground.envoys[ROUTE]]


async def _in_line(ground: Ground, metrics: SimulatedMetrics) -> tuple[Handle, Handle]:
    """2.0.0 at its gate, and 2.0.1 that took its place (a run that follows it), at its own."""
    first = await release(ground, metrics, kind="approved")
    await until(lambda: is_in(first, Phase.GATED))
    given = submission(ground, metrics, "approved", "2.0.1", when_busy="supersede")
    await ground.client.get_workflow_handle(first.id).execute_update("submit", given)

    async def follows() -> bool:
        with suppress(RPCError, WorkflowQueryFailedError):
            status = await ground.client.get_workflow_handle(first.id).query("status", result_type=RolloutStatus)
            return status.version == "2.0.1" and status.phase is Phase.GATED
        return False

    await until(follows)
    run_id = (await ground.client.get_workflow_handle(first.id).describe()).run_id
    return first, ground.client.get_workflow_handle(first.id, run_id=run_id, result_type=RolloutReport)


@pytest.mark.parametrize("to", ["the first task", "before its shift"])
async def test_a_rollout_that_followed_in_line_is_taken_back_after_a_reset(
    ground: Ground, metrics: SimulatedMetrics, to: str
) -> None:
    worker = await ground.worker(1)
    _, run = await _in_line(ground, metrics)
    task = await task_that_ordered(run, "shift") if to == "before its shift" else None
    await worker.stop()
    handle = await _reset(ground, run, task)
    # Heard before anything else.
    await handle.signal("rollback", ROLL_BACK)
    await ground.worker(2)
    report = await result(handle)
    assert report.outcome == "rolled_back", report.reason
    assert await _shares(ground) == [0, 0]


async def test_a_reset_of_a_rollout_whose_place_was_taken_leaves_what_was_promoted_instead(
    ground: Ground, metrics: SimulatedMetrics
) -> None:
    await ground.worker(1)
    first, run = await _in_line(ground, metrics)
    await run.signal("approve", {"by": "bo", "reason": "fault test"})
    await run.signal("promote", {"by": "ana", "reason": "the judge takes its time"})
    assert (await result(run)).outcome == "promoted"
    report = await result(await _reset(ground, first))
    # It hears the submission of the one that took its place again; whatever becomes of it, the route is not its own.
    assert report.outcome in ("blocked", "superseded", "rolled_back"), report.reason
    assert await _shares(ground) == [100, 100]


async def test_in_its_window_a_promoted_rollout_is_taken_back_after_a_reset_where_a_person_says_so(
    ground: Ground, metrics: SimulatedMetrics
) -> None:
    worker = await ground.worker(1)
    run = await release(ground, metrics, kind="approved", rollback_window=timedelta(minutes=10))
    await until(lambda: is_in(run, Phase.GATED))
    await run.signal("approve", {"by": "bo", "reason": "fault test"})
    await run.signal("promote", {"by": "ana", "reason": "the judge takes its time"})
    await until(lambda: is_in(run, Phase.WINDOW))
    await worker.stop()
    handle = await _reset(ground, run)
    await handle.signal("rollback", ROLL_BACK)
    await ground.worker(2)
    report = await result(handle)
    assert report.outcome == "rolled_back", report.reason
    assert await _shares(ground) == [0, 0]
