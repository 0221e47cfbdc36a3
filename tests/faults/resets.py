"""Resets of releases on a ground of their own: to which task, of which run, and what became of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

from aiohttp import web
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowQueryFailedError
from temporalio.service import RPCError

from activities.guard import GuardActivities
from activities.rollout_runs import RolloutRuns
from activities.routers.registry import Routers
from benchmarks.ground import Ground
from benchmarks.simulated_metrics import SimulatedMetrics
from coalmine.records import Phase, RolloutReport, RolloutStatus, Submission, Survey
from tests.faults.releases import ROUTE, Handle, begin, is_in, release, result, submission
from tests.faults.resetting import reset
from tests.faults.witness import until

ROLL_BACK = {"by": "ana", "reason": "fault test"}
APPROVE = {"by": "bo", "reason": "fault test"}


async def reset_to(
    ground: Ground, handle: Handle, task: int | None = None, *, number: int = 0, signals: bool = True
) -> Handle:
    """Reset to a task, or to one by its number from the first on; the handle of whatever runs under the id then."""
    run = ground.client.get_workflow_handle(handle.id, run_id=handle.result_run_id, result_type=RolloutReport)
    request_id = f"reset-{run.run_id}-{task}-{number}"
    assert await reset(ground.client, run, lambda done: task or done[number], request_id, signals=signals)
    return ground.client.get_workflow_handle(handle.id, result_type=RolloutReport)


async def tasks_of(ground: Ground, run: Handle) -> list[int]:
    """Those that are done, by their event ids."""
    history = await ground.client.get_workflow_handle(run.id, run_id=run.result_run_id).fetch_history()
    return [e.event_id for e in history.events if e.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED]


async def latest_of(ground: Ground, run: Handle) -> Handle:
    """The run that is under its id now."""
    run_id = (await run.describe()).run_id
    return ground.client.get_workflow_handle(run.id, run_id=run_id, result_type=RolloutReport)


async def shares(ground: Ground) -> list[float]:
    """Percent the canary gets, by proxy."""
    return [await ground.canary_share(envoy) for envoy in ground.envoys[ROUTE]]


def _gated_first(given: Submission) -> Submission:
    """The same release with a gate before its first step."""
    first, second = given.spec.steps
    steps = [first.model_copy(update={"gate": second.gate}), second]
    return given.model_copy(update={"spec": given.spec.model_copy(update={"steps": steps})})


async def at_its_first_gate(ground: Ground, metrics: SimulatedMetrics) -> tuple[Handle, int]:
    """A release that waits before its first step, and the last of its tasks before that."""
    run = await begin(ground, _gated_first(submission(ground, metrics, "approved", "2.0.0")))
    await until(lambda: is_in(run, Phase.GATED))
    return run, (await tasks_of(ground, run))[-1]


async def approve_first_step(run: Handle) -> None:
    """Open that gate."""
    await run.signal("approve", {**APPROVE, "gate": "step-1"})


async def promote(run: Handle) -> None:
    """From its gate."""
    await until(lambda: is_in(run, Phase.GATED))
    await run.signal("approve", APPROVE)
    await run.signal("promote", {"by": "ana", "reason": "the judge takes its time"})


async def promoted_one(ground: Ground, metrics: SimulatedMetrics, version: str) -> Handle:
    """A release that is over, with all traffic."""
    run = await release(ground, metrics, kind="approved", version=version)
    await promote(run)
    assert (await result(run)).outcome == "promoted"
    return run


async def in_window(ground: Ground, metrics: SimulatedMetrics) -> Handle:
    """2.0.0, promoted, and for ten minutes one word takes it back."""
    run = await release(ground, metrics, kind="approved", rollback_window=timedelta(minutes=10))
    await promote(run)
    await until(lambda: is_in(run, Phase.WINDOW))
    return run


async def in_line(ground: Ground, metrics: SimulatedMetrics, *, gated: bool = False) -> tuple[Handle, Handle]:
    """2.0.0 at its gate, and 2.0.1 that took its place (a run that follows it), at its own; the first, if ``gated``."""
    first = await release(ground, metrics, kind="approved")
    await until(lambda: is_in(first, Phase.GATED))
    given = submission(ground, metrics, "approved", "2.0.1", when_busy="supersede")
    given = _gated_first(given) if gated else given
    await ground.client.get_workflow_handle(first.id).execute_update("submit", given)

    async def follows() -> bool:
        with suppress(RPCError, WorkflowQueryFailedError):
            status = await ground.client.get_workflow_handle(first.id).query("status", result_type=RolloutStatus)
            return status.version == "2.0.1" and status.phase is Phase.GATED
        return False

    await until(follows)
    run_id = (await ground.client.get_workflow_handle(first.id).describe()).run_id
    return first, ground.client.get_workflow_handle(first.id, run_id=run_id, result_type=RolloutReport)


async def one_rolled_back_and_a_later_one_promoted(
    ground: Ground, metrics: SimulatedMetrics
) -> tuple[Handle, int, Handle]:
    """The one, the last of its tasks before its gate, and the later one."""
    old = await release(ground, metrics, kind="approved")
    await until(lambda: is_in(old, Phase.GATED))
    gate = (await tasks_of(ground, old))[-1]
    await old.signal("rollback", ROLL_BACK)
    assert (await result(old)).outcome == "rolled_back"
    return old, gate, await promoted_one(ground, metrics, "2.0.1")


@asynccontextmanager
async def answering_hooks(given: Submission, *names: str) -> AsyncIterator[tuple[Submission, list[str]]]:
    """The same release with hooks of these names, and those that were called."""
    called: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        called.append((await request.json())["hook"])
        return web.Response()

    app = web.Application()
    app.router.add_post("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        hooks = given.spec.hooks.model_copy(update=dict.fromkeys(names, f"http://127.0.0.1:{runner.addresses[0][1]}/"))
        yield given.model_copy(update={"spec": given.spec.model_copy(update={"hooks": hooks})}), called
    finally:
        await runner.cleanup()


async def surveyed(ground: Ground, run: Handle) -> Survey:
    """What the guard finds when Temporal lists the latest run under the id as closed."""
    latest, runs = (await run.describe()).run_id, RolloutRuns(ground.client)

    async def is_listed() -> bool:
        first = (await runs.of_workflow(run.id))[0]
        return first.run_id == latest and not first.open

    await until(is_listed)
    return await GuardActivities(ground.client, Routers()).survey("faults")
