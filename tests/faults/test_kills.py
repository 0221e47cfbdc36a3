"""kill -9 and SIGSTOP of real workers, in the middle of what must not be torn: shifts, looks, rollbacks."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowHandle
from temporalio.service import RPCError

from activities.routers.locked_files import locked
from benchmarks.ground import CANARY, Ground, WorkerProcess
from benchmarks.kills import KINDS, Experiment, make_spec
from benchmarks.simulated_metrics import SimulatedMetrics
from coalmine.records import TASK_QUEUE, CanaryInput, Phase, RolloutReport, RolloutStatus, Submission, canary_id
from coalmine.testing.fake_prometheus import FakeAnswer
from tests.faults.resetting import reset
from tests.faults.witness import PATIENCE, attempts, ledger, stopped, until, watching

ROUTE = "shop"
SEED = 7
Handle = WorkflowHandle[Any, RolloutReport]
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Ground]:
    """A dev server, two Envoys of one route."""
    async with Ground(tmp_path, proxies=2) as ground:
        yield ground


@pytest.fixture
async def metrics(ground: Ground) -> AsyncIterator[SimulatedMetrics]:
    """Counters that follow the first proxy."""
    async with SimulatedMetrics(ground, SEED) as metrics:
        yield metrics


async def _release(ground: Ground, metrics: SimulatedMetrics, kind: str = "good") -> Handle:
    spec = make_spec(ground, kind, ROUTE, "2.0.0", metrics.url)
    return await ground.client.start_workflow(
        "Canary",
        CanaryInput(service=ROUTE, environment="faults", submission=Submission(spec=spec, by="faults")),
        id=canary_id("faults", ROUTE),
        task_queue=TASK_QUEUE,
        result_type=RolloutReport,
    )


async def _under_way(handle: Handle, attempt: int) -> bool:
    """Whether a worker is busy with a write, in this attempt or a later one: it waits for a proxy that is frozen."""
    return await attempts(handle, "shift") >= attempt


async def _is_in(handle: Handle, phase: Phase) -> bool:
    try:
        return (await handle.query("status", result_type=RolloutStatus)).phase is phase
    except RPCError:
        return False  # No worker serves yet.


async def _task_that_ordered(handle: Handle, activity: str) -> int:
    async for event in handle.fetch_history_events():
        scheduled = event.activity_task_scheduled_event_attributes
        if scheduled.activity_type.name == activity:
            return scheduled.workflow_task_completed_event_id
    raise AssertionError(f"{activity} was not ordered")


async def _shifted(handle: Handle, generation: int) -> bool:
    """Whether the write of a generation has ended, as the history says."""
    ordered: set[int] = set()
    async for event in handle.fetch_history_events():
        scheduled = event.activity_task_scheduled_event_attributes
        if scheduled.activity_type.name == "shift":
            [request] = scheduled.input.payloads
            if json.loads(request.data)["generation"] == generation:
                ordered.add(event.event_id)
        if event.activity_task_completed_event_attributes.scheduled_event_id in ordered:
            return True
    return False


async def _result(handle: Handle) -> RolloutReport:
    async with asyncio.timeout(PATIENCE):
        return await handle.result()


async def test_a_worker_killed_in_a_shift_is_finished_by_the_next(ground: Ground, metrics: SimulatedMetrics) -> None:
    worker = await ground.worker(1)
    async with watching(ground, ROUTE) as witness:
        handle = await _release(ground, metrics, kind="approved")
        await until(lambda: _is_in(handle, Phase.GATED))
        with witness.frozen_proxy(1):
            await handle.signal("approve", {"by": "bo", "reason": "fault test"})
            await witness.shows(50)
            await until(lambda: _under_way(handle, attempt=1))
            await worker.kill()
        await ground.worker(2)
        await witness.shows(50, number=1)
        await handle.signal("promote", {"by": "ana", "reason": "the judge takes its time"})
        report = await _result(handle)
    assert report.outcome == "promoted", report.reason
    assert await witness.faults(report, allowed={0, 10, 50, 100}) == []
    assert {0, 10, 50} <= witness.shares


async def test_a_look_that_dies_is_taken_again_over_the_same_window(ground: Ground, metrics: SimulatedMetrics) -> None:
    asked, answers = threading.Event(), threading.Event()

    def hang(query: str, headers: Mapping[str, str]) -> FakeAnswer | None:
        asked.set()
        answers.wait(PATIENCE)
        return None

    async def has_asked() -> bool:
        return asked.is_set()

    metrics.routes[ROUTE].canary_errors = 1.0
    metrics.server.answer = hang
    worker = await ground.worker(1)
    try:
        async with watching(ground, ROUTE) as witness:
            handle = await _release(ground, metrics)
            await until(has_asked)
            await witness.shows(10)
            await worker.kill()
            answers.set()
            await ground.worker(2)
            report = await _result(handle)
    finally:
        answers.set()
    assert report.outcome == "rolled_back", report.reason
    assert report.cause == "analysis", report.reason
    assert await witness.faults(report, allowed={0, 10}) == []
    looks = [entry["data"] for entry in ledger(ground.folder, report.rollout_id) if entry["kind"] == "look"]
    assert looks
    assert [look["look"] for look in looks] == list(range(1, len(looks) + 1))


async def test_a_worker_killed_in_a_rollback_is_finished_by_the_next(ground: Ground, metrics: SimulatedMetrics) -> None:
    worker = await ground.worker(1)
    async with watching(ground, ROUTE) as witness:
        handle = await _release(ground, metrics, kind="approved")
        await until(lambda: _is_in(handle, Phase.GATED))
        with witness.frozen_proxy(1):
            await handle.signal("rollback", {"by": "ana", "reason": "fault test"})
            await witness.shows(0)
            await until(lambda: _under_way(handle, attempt=1))
            await worker.kill()
            await ground.worker(2)
            await until(lambda: _under_way(handle, attempt=2))
            assert await ground.canary_share(ground.envoys[ROUTE][0]) == 0
        report = await _result(handle)
    assert report.outcome == "rolled_back", report.reason
    assert report.cause == "human"
    assert await witness.faults(report, allowed={0, 10}) == []


def _has_open(worker: WorkerProcess, lock: Path) -> bool:
    """Whether a process has a file open; only who is about to write opens a lock."""
    folder = Path(f"/proc/{worker.pid}/fd")
    for descriptor in folder.iterdir():
        try:
            if os.readlink(descriptor) == str(lock):
                return True
        except FileNotFoundError:
            continue  # Closed while we looked.
    return False


async def _opens(lock: Path, *workers: WorkerProcess) -> bool:
    return any(_has_open(worker, lock) for worker in workers)


def _locked_by_writers(ground: Ground) -> tuple[Path, Path]:
    """The first proxy's route file, and what a writer of it locks."""
    file = ground.envoys[ROUTE][0].route_file.resolve()
    return file, file.with_name(f".{file.name}.coalmine-lock")


async def test_a_frozen_worker_that_wakes_up_does_not_undo_the_rollback_of_another(
    ground: Ground, metrics: SimulatedMetrics
) -> None:
    zombie, other = await ground.worker(1), await ground.worker(2)
    file, lock = _locked_by_writers(ground)
    with ExitStack() as thaw:
        async with watching(ground, ROUTE) as witness:
            with locked([file]):
                # One of the two is now held back a moment before its first write.
                handle = await _release(ground, metrics, kind="approved")

                await until(lambda: _opens(lock, zombie, other))
                if _has_open(other, lock):
                    zombie, other = other, zombie
                thaw.enter_context(stopped(zombie.pid))
            assert _has_open(zombie, lock), "it was frozen in the middle of its write"
            await handle.signal("rollback", {"by": "ana", "reason": "fault test"})
            # Generation 1 is the shift's, whether or not the other worker took it over before it heard of the order.
            await until(lambda: witness.rests_at(generation=2))
            thaw.close()
            report = await _result(handle)
            # A worker that has drained has nothing left that could write.
            await zombie.stop()
    assert "StaleGeneration" in zombie.log.read_text()
    assert report.outcome == "rolled_back", report.reason
    assert await witness.faults(report, allowed={0, 10}) == []


async def test_on_an_advisory_router_the_write_of_a_frozen_worker_is_reconciled_and_reported(
    ground: Ground, metrics: SimulatedMetrics
) -> None:
    ground.worker_module = "tests.faults.advisory_worker"
    zombie, other = await ground.worker(1), await ground.worker(2)
    file, lock = _locked_by_writers(ground)
    with ExitStack() as thaw:
        async with watching(ground, ROUTE) as witness:
            with locked([file]):
                handle = await _release(ground, metrics, kind="approved")
                await until(lambda: _opens(lock, zombie, other))
                if _has_open(other, lock):
                    zombie, other = other, zombie
                thaw.enter_context(stopped(zombie.pid))
            await handle.signal("rollback", {"by": "ana", "reason": "fault test"})
            # Not as soon as the proxies show it: what is written during the restore, the restore itself writes over.
            await until(lambda: _shifted(handle, generation=2))
            assert await witness.rests_at(generation=2)
            thaw.close()
            # Nothing stops the old write. The rollback is not over yet: it waits a lease, and finds it.
            await witness.shows(10)
            report = await _result(handle)
            assert [await ground.canary_share(envoy) for envoy in ground.envoys[ROUTE]] == [0, 0]
            await zombie.stop()
    assert report.outcome == "rolled_back", report.reason
    [entry] = [entry for entry in ledger(ground.folder, report.rollout_id) if entry["kind"] == "reconciled"]
    assert entry["data"]["found"][CANARY] == 10


async def test_a_write_that_a_reset_forgot_finds_a_fence(ground: Ground, metrics: SimulatedMetrics) -> None:
    zombie = await ground.worker(1)
    file, lock = _locked_by_writers(ground)
    with ExitStack() as thaw:
        async with watching(ground, ROUTE) as witness:
            with locked([file]):
                handle = await _release(ground, metrics, kind="approved")

                await until(lambda: _opens(lock, zombie))
                thaw.enter_context(stopped(zombie.pid))
            # The run that takes over begins before the shift was ordered, and hears at once that it must not be.
            ordered = await _task_that_ordered(handle, "shift")
            assert await reset(ground.client, handle, lambda _: ordered, "reset")
            handle = ground.client.get_workflow_handle(handle.id, result_type=RolloutReport)
            await handle.signal("rollback", {"by": "ana", "reason": "fault test"})
            await ground.worker(2)
            await until(lambda: witness.rests_at(generation=1))
            thaw.close()
            report = await _result(handle)
            await zombie.stop()
    assert "StaleGeneration" in zombie.log.read_text()
    assert report.outcome == "rolled_back", report.reason
    assert await witness.faults(report, allowed={0}) == []


async def test_on_an_advisory_router_the_write_that_a_reset_forgot_is_reconciled(
    ground: Ground, metrics: SimulatedMetrics
) -> None:
    ground.worker_module = "tests.faults.advisory_worker"
    zombie = await ground.worker(1)
    file, lock = _locked_by_writers(ground)
    with ExitStack() as thaw:
        async with watching(ground, ROUTE) as witness:
            with locked([file]):
                handle = await _release(ground, metrics, kind="approved")
                await until(lambda: _opens(lock, zombie))
                thaw.enter_context(stopped(zombie.pid))
            ordered = await _task_that_ordered(handle, "shift")
            assert await reset(ground.client, handle, lambda _: ordered, "reset")
            handle = ground.client.get_workflow_handle(handle.id, result_type=RolloutReport)
            await handle.signal("rollback", {"by": "ana", "reason": "fault test"})
            await ground.worker(2)
            await until(lambda: _shifted(handle, generation=1))
            thaw.close()
            # The run that goes on never ordered it. It waits a lease all the same, and finds it.
            await witness.shows(10)
            report = await _result(handle)
            assert [await ground.canary_share(envoy) for envoy in ground.envoys[ROUTE]] == [0, 0]
            await zombie.stop()
    assert report.outcome == "rolled_back", report.reason
    assert [e["kind"] for e in ledger(ground.folder, report.rollout_id)].count("reconciled") == 1


async def test_random_kills_leave_every_rollout_right(tmp_path: Path) -> None:
    routes = tuple(f"shop-{kind}" for kind in KINDS)
    async with Ground(tmp_path, routes=routes) as ground, SimulatedMetrics(ground, SEED) as metrics:
        experiment = Experiment(ground, metrics, SEED)
        await experiment.run(kills=2)
    assert experiment.kills == 2
    assert len(experiment.rollouts) == len(KINDS)
    assert {rollout.route: rollout.wrong for rollout in experiment.rollouts if rollout.wrong} == {}
