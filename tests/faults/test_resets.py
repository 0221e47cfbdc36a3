"""``temporal workflow reset``: a run that takes over from one whose writes it does not remember."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager

import pytest

from activities.routers.locked_files import locked
from benchmarks.ground import CANARY, Ground, WorkerProcess
from benchmarks.simulated_metrics import SimulatedMetrics
from coalmine.records import Phase
from tests.faults.releases import (
    ROUTE,
    Handle,
    is_in,
    locked_by_writers,
    opens,
    release,
    result,
    shifted,
    task_that_ordered,
)
from tests.faults.resets import (
    ROLL_BACK,
    approve_first_step,
    at_its_first_gate,
    in_line,
    in_window,
    latest_of,
    reset_to,
    shares,
    tasks_of,
)
from tests.faults.witness import Witness, ledger, stopped, until, watching

pytestmark = pytest.mark.timeout(600)


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
            handle = await reset_to(ground, handle, ordered)
            await handle.signal("rollback", ROLL_BACK)
            await ground.worker(2)
            await until(restored(handle, witness))
            thaw.close()
            yield handle, witness, zombie
            await zombie.stop()


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
        handle = await reset_to(ground, first)
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
            handle = await reset_to(ground, handle)
            await until(lambda: opens(lock, worker))
            handle = await reset_to(ground, handle)
            await handle.signal("rollback", ROLL_BACK)
        report = await result(handle)
        assert [await ground.canary_share(envoy) for envoy in ground.envoys[ROUTE]] == [0, 0]
    assert report.outcome == "rolled_back", report.reason
    assert report.rollout_id.endswith("2.0.0/1")
    assert await witness.faults(report, allowed={0, 10}) == []


@pytest.mark.parametrize("to", ["the first task", "before its shift"])
async def test_a_rollout_that_followed_in_line_is_taken_back_after_a_reset(
    ground: Ground, metrics: SimulatedMetrics, to: str
) -> None:
    worker = await ground.worker(1)
    _, run = await in_line(ground, metrics)
    task = await task_that_ordered(run, "shift") if to == "before its shift" else None
    await worker.stop()
    handle = await reset_to(ground, run, task)
    # Heard before anything else.
    await handle.signal("rollback", ROLL_BACK)
    await ground.worker(2)
    report = await result(handle)
    assert report.outcome == "rolled_back", report.reason
    assert await shares(ground) == [0, 0]


async def test_begun_anew_in_its_window_a_promoted_rollout_puts_the_route_back_first(
    ground: Ground, metrics: SimulatedMetrics
) -> None:
    worker = await ground.worker(1)
    async with watching(ground, ROUTE) as witness:
        run = await in_window(ground, metrics)
        await worker.stop()
        handle = await reset_to(ground, run)
        await ground.worker(2)
        await witness.shows(0)
        await until(lambda: shifted(handle, generation=4))
        await handle.signal("rollback", ROLL_BACK)
        report = await result(handle)
        assert await shares(ground) == [0, 0]
    assert report.outcome == "rolled_back", report.reason
    kept = ledger(ground.folder, report.rollout_id)
    [recalled] = [entry["data"] for entry in kept if entry["kind"] == "recalled"]
    assert recalled["run_id"] == run.result_run_id
    assert recalled["found"][CANARY] == 100
    assert recalled["rest"][CANARY] == 0


async def test_in_its_window_a_promoted_rollout_is_taken_back_after_a_reset_where_a_person_says_so(
    ground: Ground, metrics: SimulatedMetrics
) -> None:
    worker = await ground.worker(1)
    run = await in_window(ground, metrics)
    await worker.stop()
    handle = await reset_to(ground, run)
    await handle.signal("rollback", ROLL_BACK)
    await ground.worker(2)
    report = await result(handle)
    assert report.outcome == "rolled_back", report.reason
    assert await shares(ground) == [0, 0]


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
async def test_in_the_middle_of_admission_a_rollout_puts_the_route_back_first(
    ground: Ground, metrics: SimulatedMetrics, number: int
) -> None:
    await ground.worker(1)
    async with watching(ground, ROUTE) as witness:
        first = await release(ground, metrics, kind="approved")
        await until(lambda: is_in(first, Phase.GATED))
        handle = await reset_to(ground, first, number=number)
        await witness.shows(0)
        await witness.shows(10)
        await handle.signal("rollback", ROLL_BACK)
        report = await result(handle)
    assert report.outcome == "rolled_back", report.reason
    assert await witness.faults(report, allowed={0, 10}) == []


@pytest.mark.parametrize("number", [1, 3])
async def test_from_its_window_to_the_middle_of_admission_a_rollout_puts_the_route_back_first(
    ground: Ground, metrics: SimulatedMetrics, number: int
) -> None:
    await ground.worker(1)
    async with watching(ground, ROUTE) as witness:
        run = await in_window(ground, metrics)
        handle = await reset_to(ground, run, number=number, signals=False)
        await witness.shows(0)
        await witness.shows(10)
        await handle.signal("rollback", ROLL_BACK)
        report = await result(handle)
    assert report.outcome == "rolled_back", report.reason
    assert await witness.faults(report, allowed={0, 10, 50, 100}) == []


async def test_at_the_gate_before_its_first_step_a_rollout_puts_the_route_back(
    ground: Ground, metrics: SimulatedMetrics
) -> None:
    worker = await ground.worker(1)
    async with watching(ground, ROUTE) as witness:
        run, gate = await at_its_first_gate(ground, metrics)
        await approve_first_step(run)
        await witness.shows(10)
        handle = await reset_to(ground, run, gate, signals=False)
        await witness.shows(0)
        # Whoever reads its history from the beginning takes over at the same task.
        await worker.stop()
        await ground.worker(2)
        await until(lambda: is_in(handle, Phase.GATED))
        await approve_first_step(handle)
        await witness.shows(10)
        # And of what a reset made, to a task from before it, another does the same.
        handle = await reset_to(ground, handle, gate, signals=False)
        await witness.shows(0)
        await handle.signal("rollback", ROLL_BACK)
        report = await result(handle)
    assert report.outcome == "rolled_back", report.reason
    assert await witness.faults(report, allowed={0, 10}) == []


async def test_of_what_a_reset_made_a_reset_to_after_it_took_over_takes_over_too(
    ground: Ground, metrics: SimulatedMetrics
) -> None:
    worker = await ground.worker(1)
    async with watching(ground, ROUTE) as witness:
        run, gate = await at_its_first_gate(ground, metrics)
        handle = await reset_to(ground, run, gate, signals=False)
        # The run that it made had nothing to put back; the one that is made of that has, and the one made of that too.
        second = await _after_it_took_over(ground, handle, witness, asked=1)
        await until(lambda: shifted(second, generation=2))
        # Whoever reads its history from the beginning takes over at the same tasks.
        await worker.stop()
        worker = await ground.worker(2)
        third = await _after_it_took_over(ground, second, witness, asked=3)
        await until(lambda: shifted(third, generation=4))
        await worker.stop()
        await ground.worker(3)
        await until(lambda: is_in(third, Phase.GATED))
        assert await _asked(third, 5)
        await third.signal("rollback", ROLL_BACK)
        report = await result(third)
    assert report.outcome == "rolled_back", report.reason
    assert await witness.faults(report, allowed={0, 10}) == []


async def _after_it_took_over(ground: Ground, run: Handle, witness: Witness, asked: int) -> Handle:
    """Reset a run at the gate before its first step to where it waits there, from when it has a share."""
    await until(lambda: _asked(run, asked))
    await until(lambda: is_in(run, Phase.GATED))
    latest = await latest_of(ground, run)
    gate = (await tasks_of(ground, latest))[-1]
    await approve_first_step(run)
    await witness.shows(10)
    handle = await reset_to(ground, latest, gate, signals=False)
    await witness.shows(0)
    return handle


async def _asked(run: Handle, times: int) -> bool:
    """Whether it was told so often, copies included, what the run before left."""
    events = [event async for event in run.fetch_history_events()]
    asked = [
        event.event_id
        for event in events
        if event.activity_task_scheduled_event_attributes.activity_type.name == "recall_route"
    ]
    told = [event.activity_task_completed_event_attributes.scheduled_event_id in asked for event in events]
    return sum(told) == times


@pytest.mark.parametrize("which", ["the first", "one that followed in line"])
async def test_from_after_a_rollback_that_found_nothing_to_put_back_a_rollout_goes_on(
    ground: Ground, metrics: SimulatedMetrics, which: str
) -> None:
    await ground.worker(1)
    if which == "the first":
        run, _ = await at_its_first_gate(ground, metrics)
    else:
        _, run = await in_line(ground, metrics, gated=True)
    await run.signal("rollback", ROLL_BACK)
    assert (await result(run)).outcome == "rolled_back"
    handle = await reset_to(ground, run, (await tasks_of(ground, run))[-1], signals=False)
    report = await result(handle)
    assert report.outcome == "rolled_back", report.reason
    assert await shares(ground) == [0, 0]
