"""The history of every run is kept beside the ledger, and nothing waits for it while traffic is split."""

from __future__ import annotations

from temporalio.exceptions import ApplicationError

from coalmine.records import Outcome, Phase
from tests.workflows.driving import Rollout
from tests.workflows.specs import make_spec, make_submission
from tests.workflows.world import GOOD, HARM, World

GONE = ApplicationError("Temporal no longer has it", type="HistoryGone", non_retryable=True)


async def test_a_rollout_archives_its_history_when_it_is_closed(rollout: Rollout, world: World) -> None:
    await rollout.start()
    report = await rollout.result()
    (request,) = world.archives
    described = await rollout.handle.describe()
    assert (request.workflow_id, request.run_id) == (rollout.id, described.run_id)
    assert request.rollout_id == report.rollout_id
    assert world.kinds()[-2:] == ["closed", "archived"]
    kept = max(world.ledger.items())[1]
    assert kept.data["run_id"] == described.run_id
    assert kept.data["file"].endswith(".history.json.gz")
    assert report.ledger_complete


async def test_runs_that_continued_as_new_are_archived_whole_by_the_next(rollout: Rollout, world: World) -> None:
    spec = make_spec(steps=[{"weight": 10, "for": "50m"}], promotion={"bake": "1m", "rollback_window": "1m"})
    await rollout.start(make_submission(spec))
    first = await rollout.until(lambda now: now.looks >= 2)
    await rollout.until(lambda now: now.run_id != first.run_id, 300)
    await rollout.happens(lambda: len(world.archives) == 1)
    assert world.archives[0].run_id == first.run_id
    assert (await rollout.result(step=300)).outcome is Outcome.PROMOTED
    runs = [request.run_id for request in world.archives]
    assert (runs[0], runs[-1]) == (first.run_id, (await rollout.handle.describe()).run_id)
    assert len(set(runs)) == len(runs) == world.kinds().count("archived")


async def test_an_archive_that_takes_long_delays_no_rollback(rollout: Rollout, world: World) -> None:
    world.archive_error = ApplicationError("no space left on device", type="LedgerError")
    world.judge = lambda number, stage: HARM if world.archives else GOOD
    spec = make_spec(steps=[{"weight": 10, "for": "100m"}], promotion={"bake": "1m", "rollback_window": "1m"})
    await rollout.start(make_submission(spec))
    report = await rollout.result(step=300)
    assert (report.outcome, world.canary) == (Outcome.ROLLED_BACK, 0)
    kinds = world.kinds()
    assert kinds.index("roll_back") < kinds.index("closed") < kinds.index("archive_failed")
    assert kinds.count("archive_failed") == 2, "this run, and the one before"


async def test_a_history_that_cannot_be_archived_is_told_and_the_rollout_closes(rollout: Rollout, world: World) -> None:
    world.archive_error = GONE
    await rollout.start()
    report = await rollout.result()
    assert report.outcome is Outcome.PROMOTED
    assert world.kinds()[-1] == "archive_failed"
    (told,) = [notice.notification for notice in world.notices if "archived" in notice.notification.title]
    assert told.severity == "warning"
    assert "Temporal no longer has it" in told.text


async def test_a_cancelled_rollout_is_archived_too(rollout: Rollout, world: World) -> None:
    await rollout.start()
    await rollout.reach(Phase.STEPPING)
    await rollout.cancel(reason="wrong release")
    await rollout.cancelled()
    assert len(world.archives) == 1
    assert world.kinds()[-1] == "archived"
