"""One release of its own on a ground, for tests that stop its workers: what it is at, and who is about to write."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from temporalio.client import WorkflowExecutionStatus, WorkflowHandle, WorkflowQueryFailedError
from temporalio.service import RPCError

from benchmarks.ground import Ground, WorkerProcess
from benchmarks.kills import make_spec
from benchmarks.simulated_metrics import SimulatedMetrics
from coalmine.records import (
    TASK_QUEUE,
    CanaryInput,
    Outcome,
    Phase,
    RolloutReport,
    RolloutStatus,
    Submission,
    canary_id,
)
from tests.faults.witness import PATIENCE, attempts

ROUTE = "shop"
SEED = 7
Handle = WorkflowHandle[Any, RolloutReport]


def submission(
    ground: Ground, metrics: SimulatedMetrics, kind: str = "good", version: str = "2.0.0", **promotion: Any
) -> Submission:
    """A person's; ``promotion`` changes that part of its spec."""
    spec = make_spec(ground, kind, ROUTE, version, metrics.url)
    changed = spec.promotion.model_copy(update=promotion)
    return Submission(spec=spec.model_copy(update={"promotion": changed}), by="faults")


async def release(
    ground: Ground, metrics: SimulatedMetrics, kind: str = "good", version: str = "2.0.0", **promotion: Any
) -> Handle:
    """Start one."""
    return await begin(ground, submission(ground, metrics, kind, version, **promotion))


async def begin(ground: Ground, given: Submission) -> Handle:
    """Start what was submitted."""
    return await ground.client.start_workflow(
        "Canary",
        CanaryInput(service=ROUTE, environment="faults", submission=given),
        id=canary_id("faults", ROUTE),
        task_queue=TASK_QUEUE,
        result_type=RolloutReport,
    )


async def under_way(handle: Handle, attempt: int) -> bool:
    """Whether a worker is busy with a write, in this attempt or a later one: it waits for a proxy that is frozen."""
    await not_refused(handle)
    return await attempts(handle, "shift") >= attempt


async def is_in(handle: Handle, phase: Phase) -> bool:
    """Whether a worker says so."""
    try:
        there = (await handle.query("status", result_type=RolloutStatus)).phase
    except (RPCError, WorkflowQueryFailedError):
        return False  # No worker serves yet, or it has to read the history again.
    if there is Phase.CLOSED and phase is not Phase.CLOSED:
        await not_refused(handle)
    return there is phase


async def not_refused(handle: Handle) -> None:
    """Fail at once where admission refused it: no phase comes any more, and a busy machine is no fault.

    An Envoy that answers later than admission waits for it is enough.

    Raises:
        AssertionError: it was refused; says why.
    """
    try:
        described = await handle.describe()
    except RPCError:
        return  # The server is away.
    if described.status is WorkflowExecutionStatus.COMPLETED:
        report = await handle.result()
        assert report.outcome is not Outcome.BLOCKED, f"refused at admission (a busy machine?): {report.reason}"


async def task_that_ordered(handle: Handle, activity: str) -> int:
    """The event of the workflow task that ordered the first activity of this name."""
    async for event in handle.fetch_history_events():
        scheduled = event.activity_task_scheduled_event_attributes
        if scheduled.activity_type.name == activity:
            return scheduled.workflow_task_completed_event_id
    raise AssertionError(f"{activity} was not ordered")


async def shifted(handle: Handle, generation: int) -> bool:
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


async def result(handle: Handle) -> RolloutReport:
    """How it ended."""
    async with asyncio.timeout(PATIENCE):
        return await handle.result()


def has_open(worker: WorkerProcess, lock: Path) -> bool:
    """Whether a process has a file open; only who is about to write opens a lock."""
    folder = Path(f"/proc/{worker.pid}/fd")
    for descriptor in folder.iterdir():
        try:
            if os.readlink(descriptor) == str(lock):
                return True
        except FileNotFoundError:
            continue  # Closed while we looked.
    return False


async def opens(lock: Path, *workers: WorkerProcess) -> bool:
    """Whether one of them is about to write."""
    return any(has_open(worker, lock) for worker in workers)


def locked_by_writers(ground: Ground) -> tuple[Path, Path]:
    """The first proxy's route file, and what a writer of it locks."""
    file = ground.envoys[ROUTE][0].route_file.resolve()
    return file, file.with_name(f".{file.name}.coalmine-lock")
