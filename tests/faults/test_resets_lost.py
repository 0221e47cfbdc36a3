"""``temporal workflow reset`` to a time that is over: the route stays whose it is, and nothing is done about it."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import pytest
from temporalio.api.history.v1 import HistoryEvent

from benchmarks.ground import CANARY, Ground
from benchmarks.simulated_metrics import SimulatedMetrics
from coalmine.records import Phase
from tests.faults.releases import ROUTE, Handle, begin, is_in, release, result, submission
from tests.faults.resets import (
    APPROVE,
    ROLL_BACK,
    answering_hooks,
    in_line,
    latest_of,
    one_rolled_back_and_a_later_one_promoted,
    promote,
    promoted_one,
    reset_to,
    shares,
    surveyed,
    tasks_of,
)
from tests.faults.witness import until, watching

pytestmark = pytest.mark.timeout(600)


async def test_a_reset_of_an_old_rollout_takes_nothing_from_a_later_one_nor_back_what_was_promoted(
    ground: Ground, metrics: SimulatedMetrics
) -> None:
    await ground.worker(1)
    old, _, promoted = await one_rolled_back_and_a_later_one_promoted(ground, metrics)
    # The server gives a reset run the signals again: the old one hears its rollback at once, with nothing to restore.
    for run, outcome in ((old, "rolled_back"), (promoted, "blocked")):
        handle = await reset_to(ground, run)
        report = await result(handle)
        assert report.outcome == outcome, report.reason
        assert [await ground.canary_share(envoy) for envoy in ground.envoys[ROUTE]] == [100, 100]


async def test_a_reset_of_a_rollout_whose_place_was_taken_leaves_what_was_promoted_instead(
    ground: Ground, metrics: SimulatedMetrics
) -> None:
    await ground.worker(1)
    first, run = await in_line(ground, metrics)
    await run.signal("approve", APPROVE)
    await run.signal("promote", {"by": "ana", "reason": "the judge takes its time"})
    assert (await result(run)).outcome == "promoted"
    report = await result(await reset_to(ground, first))
    # It hears the submission of the one that took its place again; whatever becomes of it, the route is not its own.
    assert report.outcome in ("blocked", "superseded", "rolled_back"), report.reason
    assert await shares(ground) == [100, 100]


@pytest.mark.parametrize("rolled_back", [True, False], ids=["its rollback is heard again", "nothing is heard"])
async def test_in_the_middle_of_an_old_rollout_nothing_is_taken_from_a_later_one(
    ground: Ground, metrics: SimulatedMetrics, rolled_back: bool
) -> None:
    await ground.worker(1)
    old, gate, promoted = await one_rolled_back_and_a_later_one_promoted(ground, metrics)
    async with watching(ground, ROUTE) as witness:
        report = await result(await reset_to(ground, old, gate, signals=rolled_back))
    assert report.outcome == ("rolled_back" if rolled_back else "blocked"), report.reason
    assert rolled_back or "2.0.1/1 has written the route since" in report.reason
    assert witness.shares == {100}
    # What was promoted stays too, in the middle of its own steps.
    middle = (await tasks_of(ground, promoted))[-8]
    report = await result(await reset_to(ground, promoted, middle, signals=False))
    assert report.outcome in ("blocked", "promoted"), report.reason
    assert await shares(ground) == [100, 100]


async def _waited_before_second_shift(ground: Ground, run: Handle) -> int:
    """The last task before the one that ordered it."""
    history = await ground.client.get_workflow_handle(run.id, run_id=run.result_run_id).fetch_history()
    scheduled = [event.activity_task_scheduled_event_attributes for event in history.events]
    second = [one.workflow_task_completed_event_id for one in scheduled if one.activity_type.name == "shift"][1]
    return max(task for task in await tasks_of(ground, run) if task < second)


@pytest.mark.parametrize("which", ["rolled back, a later one promoted", "promoted"])
async def test_what_a_reset_did_not_get_the_next_one_does_not_get_nor_does_the_guard_take_it_back(
    ground: Ground, metrics: SimulatedMetrics, which: str
) -> None:
    await ground.worker(1)
    run, task, promoted = await one_rolled_back_and_a_later_one_promoted(ground, metrics)
    if which == "promoted":
        run, task = promoted, await _waited_before_second_shift(ground, promoted)
    async with watching(ground, ROUTE) as witness:
        for _ in range(2):
            handle = await reset_to(ground, run, task, signals=False)
            report = await result(handle)
            assert report.outcome == "blocked", report.reason
            survey = await surveyed(ground, handle)
            assert survey.looked == 1
            assert survey.findings == []
            # The run that this reset made is the one that the next is of.
            run = await latest_of(ground, handle)
    assert witness.shares == {100}


async def test_a_reset_that_was_terminated_at_once_leaves_it_to_the_guard_what_the_run_before_left(
    ground: Ground, metrics: SimulatedMetrics
) -> None:
    worker = await ground.worker(1)
    run = await release(ground, metrics, kind="approved")
    await until(lambda: is_in(run, Phase.GATED))
    gate = (await tasks_of(ground, run))[-1]
    await worker.stop()
    handle = await reset_to(ground, run, gate, signals=False)
    await handle.terminate()
    [finding] = (await surveyed(ground, handle)).findings
    assert finding.restorable
    assert finding.weights[CANARY] == 10


@pytest.mark.parametrize("said", [True, False], ids=["a rollback is heard", "nothing is heard"])
async def test_what_a_reset_did_not_get_it_takes_nothing_down_for(
    ground: Ground, metrics: SimulatedMetrics, said: bool
) -> None:
    await ground.worker(1)
    async with answering_hooks(submission(ground, metrics, "approved"), "prepare", "rolled_back") as (given, called):
        old = await begin(ground, given)
        await until(lambda: is_in(old, Phase.GATED))
        gate = (await tasks_of(ground, old))[-1]
        await old.signal("rollback", ROLL_BACK)
        assert (await result(old)).outcome == "rolled_back"
        await promoted_one(ground, metrics, "2.0.1")
        assert called == ["prepare", "rolled_back"]
        handle = await reset_to(ground, old, gate, signals=said)
        report = await result(handle)
        assert report.outcome == ("rolled_back" if said else "blocked"), report.reason
        assert called == ["prepare", "rolled_back"]
    history = await handle.fetch_history()
    bans = [event for event in history.events if _asks_for_a_ban(event)]
    assert bans == []


def _asks_for_a_ban(event: HistoryEvent) -> bool:
    scheduled = event.activity_task_scheduled_event_attributes
    return scheduled.activity_type.name == "ask_fleet" and json.loads(scheduled.input.payloads[0].data)["verb"] == "ban"


@pytest.mark.parametrize("at", ["in the bake", "in its window", "in its window, which is over by then"])
async def test_where_somebody_rolled_back_what_was_promoted_nothing_is_promoted(
    ground: Ground, metrics: SimulatedMetrics, at: str
) -> None:
    over = "over" in at
    worker, window = await ground.worker(1), 10 if over else 600
    given = submission(ground, metrics, "approved", rollback_window=timedelta(seconds=window))
    async with answering_hooks(given, "retire") as (given, called):
        run = await begin(ground, given)
        await promote(run)
        await until(lambda: is_in(run, Phase.BAKING))
        baking = (await tasks_of(ground, run))[-1]
        await until(lambda: is_in(run, Phase.WINDOW))
        ends = asyncio.get_running_loop().time() + window
        task = baking if at == "in the bake" else (await tasks_of(ground, run))[-1]
        await run.signal("rollback", ROLL_BACK)
        assert (await result(run)).outcome == "rolled_back"
        await worker.stop()
        handle = await reset_to(ground, run, task, signals=False)
        if over:
            await asyncio.sleep(ends - asyncio.get_running_loop().time())
        await ground.worker(2)
        report = await result(handle)
        assert report.outcome == "blocked"
        assert "it was rolled back since" in report.reason
        assert await shares(ground) == [0, 0]
        assert called == []
        assert (await surveyed(ground, handle)).findings == []


async def test_in_the_middle_of_one_that_followed_in_line_nothing_is_taken_from_a_later_one(
    ground: Ground, metrics: SimulatedMetrics
) -> None:
    await ground.worker(1)
    _, run = await in_line(ground, metrics)
    gate = (await tasks_of(ground, run))[-1]
    await run.signal("rollback", ROLL_BACK)
    assert (await result(run)).outcome == "rolled_back"
    await promoted_one(ground, metrics, "2.0.2")
    async with watching(ground, ROUTE) as witness:
        report = await result(await reset_to(ground, run, gate, signals=False))
    assert report.outcome == "blocked", report.reason
    assert "2.0.2/1 has written the route since" in report.reason
    assert witness.shares == {100}
