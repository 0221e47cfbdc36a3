"""``temporal workflow reset`` over what came since: a shift under way, further steps, a reset, a later rollout."""

from __future__ import annotations

from datetime import timedelta

import pytest

from activities.routers.locked_files import locked
from benchmarks.ground import Ground
from benchmarks.simulated_metrics import SimulatedMetrics
from coalmine.records import Phase, RolloutReport, RolloutStatus
from tests.faults.releases import ROUTE, Handle, begin, is_in, locked_by_writers, opens, release, result, submission
from tests.faults.resets import APPROVE, ROLL_BACK, latest_of, promoted_one, reset_to, shares, surveyed, tasks_of
from tests.faults.witness import kept_timeline, ledger, until, watching

pytestmark = pytest.mark.timeout(600)


async def _tasks_within_first_shift(ground: Ground, run: Handle) -> list[int]:
    """Those that were done between its order and the first try of a worker that is in history."""
    history = await ground.client.get_workflow_handle(run.id, run_id=run.result_run_id).fetch_history()
    ordered = next(
        event.event_id
        for event in history.events
        if event.activity_task_scheduled_event_attributes.activity_type.name == "shift"
    )
    begun = [
        event.event_id
        for event in history.events
        if event.activity_task_started_event_attributes.scheduled_event_id == ordered
    ]
    tasks = await tasks_of(ground, run)
    return [task for task in tasks if ordered + 1 < task < (begun[0] if begun else task + 1)]


async def test_a_shift_that_was_under_way_is_not_made_again_over_a_later_rollout(
    ground: Ground, metrics: SimulatedMetrics
) -> None:
    worker = await ground.worker(1)
    file, lock = locked_by_writers(ground)
    with locked([file]):
        old = await release(ground, metrics, kind="approved")
        await until(lambda: opens(lock, worker))
        # Whatever is said meanwhile makes a task in the middle of the shift.
        await old.signal("extend", {"by": "ana", "reason": "test", "for": "1s"})

        async def heard() -> bool:
            return bool(await _tasks_within_first_shift(ground, old))

        await until(heard)
    await until(lambda: is_in(old, Phase.GATED))
    task = (await _tasks_within_first_shift(ground, old))[-1]
    await old.signal("rollback", ROLL_BACK)
    assert (await result(old)).outcome == "rolled_back"
    await promoted_one(ground, metrics, "2.0.1")
    async with watching(ground, ROUTE) as witness:
        handle = await reset_to(ground, old, task, signals=False)
        report = await result(handle)
    assert report.outcome == "blocked", report.reason
    assert "2.0.1/1 has written the route since" in report.reason
    assert witness.shares == {100}
    survey = await surveyed(ground, handle)
    assert survey.findings == []


@pytest.mark.parametrize("to", ["its gate", "its first task"])
async def test_the_same_run_reset_once_more_goes_on_as_itself(
    ground: Ground, metrics: SimulatedMetrics, to: str
) -> None:
    await ground.worker(1)
    run = await release(ground, metrics, kind="approved")
    await until(lambda: is_in(run, Phase.GATED))
    task = (await tasks_of(ground, run))[0 if to == "its first task" else -1]
    for number in range(2):
        # Not of the run that the first reset made: whoever takes the command from a shell's history names the first.
        handle = await reset_to(ground, run, task, number=number, signals=False)
        await until(lambda handle=handle: is_in(handle, Phase.GATED))  # type: ignore[misc]
    assert await shares(ground) == [10, 10]
    await handle.signal("rollback", ROLL_BACK)
    report = await result(handle)
    assert (report.outcome, report.rollout_id) == ("rolled_back", "faults/shop/2.0.0/1"), report.reason
    assert await shares(ground) == [0, 0]


async def _gone_back(ground: Ground, metrics: SimulatedMetrics) -> tuple[Handle, list[int], RolloutReport]:
    """A release that was rolled back at its gate: its run, the tasks that were done up to there, its report."""
    old = await release(ground, metrics, kind="approved")
    await until(lambda: is_in(old, Phase.GATED))
    tasks = await tasks_of(ground, old)
    await old.signal("rollback", ROLL_BACK)
    report = await result(old)
    assert report.outcome == "rolled_back"
    return old, tasks, report


async def _reset_while_a_later_one_runs(
    ground: Ground, metrics: SimulatedMetrics, old: Handle, task: int, version: str = "2.0.1"
) -> tuple[Handle, RolloutReport]:
    """The run that the reset made, and its report; nothing of what the later one left is on the route."""
    later = await release(ground, metrics, kind="approved", version=version)
    await until(lambda: is_in(later, Phase.GATED))
    assert await shares(ground) == [10, 10]
    # Both have the same workflow id, which is the lock: the server ends the one that runs.
    handle = await reset_to(ground, old, task, signals=False)
    report = await result(handle)
    assert await shares(ground) == [0, 0]
    assert (await surveyed(ground, handle)).findings == []
    return handle, report


def _tells_of_it(ground: Ground) -> bool:
    told = [entry.get("reason", "") for entry in ledger(ground.folder, "faults/shop/2.0.0/1")]
    return any("the reset ended faults/shop/2.0.1/1" in reason for reason in told)


@pytest.mark.parametrize("to", ["its gate", "its first task"])
async def test_what_a_later_rollout_left_that_the_reset_ended_is_put_back(
    ground: Ground, metrics: SimulatedMetrics, to: str
) -> None:
    await ground.worker(1)
    old, tasks, _ = await _gone_back(ground, metrics)
    task = tasks[0 if to == "its first task" else -1]
    _, report = await _reset_while_a_later_one_runs(ground, metrics, old, task)
    assert report.outcome == "blocked", report.reason
    assert "2.0.1/1 has written the route since, and was ended by the reset" in report.reason
    assert _tells_of_it(ground)


@pytest.mark.parametrize("back", [1, 3])
async def test_so_it_is_where_the_old_one_was_closed_at_that_task(
    ground: Ground, metrics: SimulatedMetrics, back: int
) -> None:
    await ground.worker(1)
    old, _, before = await _gone_back(ground, metrics)
    task = (await tasks_of(ground, old))[-back]
    handle, report = await _reset_while_a_later_one_runs(ground, metrics, old, task)
    # How it ended stays as it was told.
    assert (report.outcome, report.reason) == (before.outcome, before.reason)
    assert report.ledger_complete
    assert _tells_of_it(ground)
    # Also once Temporal has forgotten it.
    run_id = (await handle.describe()).run_id
    kept = [entry.text for entry in await kept_timeline(ground, report.rollout_id) if entry.run_id == run_id]
    assert any(text.startswith("restore shop-v1 100 %") for text in kept), kept


async def test_so_it_is_where_the_old_one_had_lost_the_route_by_a_reset_before(
    ground: Ground, metrics: SimulatedMetrics
) -> None:
    await ground.worker(1)
    old, tasks, _ = await _gone_back(ground, metrics)
    for version in ("2.0.1", "2.0.2"):
        handle, report = await _reset_while_a_later_one_runs(ground, metrics, old, tasks[-1], version)
        assert report.outcome == "blocked", report.reason
        old = await latest_of(ground, handle)
        tasks = await tasks_of(ground, old)


async def test_so_it_is_where_the_old_one_only_advised(ground: Ground, metrics: SimulatedMetrics) -> None:
    await ground.worker(1)
    old = await begin(ground, submission(ground, metrics, "approved").model_copy(update={"advise": True}))
    await until(lambda: is_in(old, Phase.STEPPING))
    task = (await tasks_of(ground, old))[-1]
    await old.signal("rollback", ROLL_BACK)
    await result(old)
    _, report = await _reset_while_a_later_one_runs(ground, metrics, old, task)
    assert report.outcome == "blocked", report.reason


async def test_what_its_own_rollback_took_from_the_canary_is_laid_to_nobody_else(
    ground: Ground, metrics: SimulatedMetrics
) -> None:
    await ground.worker(1)
    run = await release(ground, metrics, kind="approved")
    await until(lambda: is_in(run, Phase.GATED))
    task = (await tasks_of(ground, run))[-1]
    await run.signal("rollback", ROLL_BACK)
    assert (await result(run)).outcome == "rolled_back"
    handle = await reset_to(ground, run, task, signals=False)

    async def given_again() -> bool:
        return await shares(ground) == [10, 10]

    await until(given_again)
    await handle.signal("rollback", ROLL_BACK)
    await result(handle)
    [drift] = [entry for entry in ledger(ground.folder, "faults/shop/2.0.0/1") if entry["kind"] == "drift"]
    assert drift["reason"].startswith("a run before the reset changed the route: shop-v1 100 % instead of")


async def test_the_canary_gets_no_more_than_the_step_that_a_reset_goes_back_to(
    ground: Ground, metrics: SimulatedMetrics
) -> None:
    await ground.worker(1)
    given = submission(ground, metrics, "approved", rollback_window=timedelta(minutes=10))
    # Nobody changed the route: a rollout that asks people about changes has nothing to ask.
    policy = given.spec.policy.model_copy(update={"drift": "hold"})
    run = await begin(ground, given.model_copy(update={"spec": given.spec.model_copy(update={"policy": policy})}))
    await until(lambda: is_in(run, Phase.GATED))
    task = (await tasks_of(ground, run))[-1]
    await run.signal("approve", APPROVE)
    await run.signal("promote", {"by": "ana", "reason": "the judge takes its time"})
    await until(lambda: is_in(run, Phase.WINDOW))
    assert await shares(ground) == [100, 100]
    handle = await reset_to(ground, run, task, signals=False)

    async def came_down() -> bool:
        return await shares(ground) == [10, 10]

    await until(came_down)
    before: RolloutStatus = await handle.query("status", result_type=RolloutStatus)

    async def looked_again() -> bool:
        status: RolloutStatus = await handle.query("status", result_type=RolloutStatus)
        return status.looks > before.looks + 1

    await until(looked_again)
    status = await handle.query("status", result_type=RolloutStatus)
    assert status.phase is Phase.GATED, status.held
    await handle.signal("rollback", ROLL_BACK)
    assert (await result(handle)).outcome == "rolled_back"
    assert await shares(ground) == [0, 0]
