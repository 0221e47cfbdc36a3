"""The traffic guard on a real server: what dead rollouts leave is told once and put right; live ones are let be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from structlog.testing import capture_logs
from temporalio.client import Client
from temporalio.testing import ActivityEnvironment

from activities import guard_archive
from activities.archive import kept_histories
from activities.guard import GuardActivities
from activities.guard_archive import GuardArchiveActivities
from activities.ledgers.file import FileLedger
from coalmine import guard_client
from coalmine.errors import HistoryUnreadable, PayloadUnreadable
from coalmine.guarding import take_in
from coalmine.ownership import Run, RunFacts
from coalmine.records import (
    ArchiveClosedRequest,
    ArchivedClosed,
    GuardRestored,
    GuardRestoreRequest,
    GuardSettings,
    GuardState,
    GuardStatus,
    LedgerEntry,
    Outcome,
    Phase,
    SurveyRequest,
)
from tests.workflows.driving import Rollout
from tests.workflows.guarding import WorldRouter, guard_workers
from tests.workflows.serving import now
from tests.workflows.specs import make_submission, quick
from tests.workflows.world import World

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LONG = [{"weight": 10, "for": "10m"}]
NOTIFY = [{"kind": "log"}]


@dataclass
class Guarded:
    """A world with a guard of its own environment."""

    client: Client
    world: World
    router: WorldRouter
    rollout: Rollout
    environment: str
    ledger: Path

    async def turn_on(self, every: float = 1, grace: float = 0, policy: str = "restore") -> GuardStatus:
        """With looks as fast as they may be."""
        settings = GuardSettings.model_validate(
            {"every": timedelta(seconds=every), "grace": timedelta(seconds=grace), "policy": policy}
        )
        return await guard_client.turn_on(self.client, self.environment, settings)

    async def status(self) -> GuardStatus:
        """Of the guard."""
        return await guard_client.status(self.client, self.environment)

    async def looks(self, more: int) -> GuardStatus:
        """Wait for so many looks that begin from now on."""
        before = (await self.status()).looks
        handle = self.client.get_workflow_handle(f"guard/{self.environment}")
        async with asyncio.timeout(30):
            while (await self.status()).looks < before + more:
                await handle.signal("look")
                await asyncio.sleep(0.05)
        return await self.status()

    async def until(self, met: object) -> None:
        """Wait until the world is as wanted."""
        assert callable(met)
        async with asyncio.timeout(30):
            while not met():
                await asyncio.sleep(0.05)

    async def start(self, version: str = "1.1.0", **changes: object) -> None:
        """A rollout that stays in its first step."""
        arms = {
            "baseline": {"version": "1.0.0", "backend": "checkout-v1"},
            "canary": {"version": version, "backend": "checkout-v2"},
        }
        ledger = {"path": str(self.ledger)}
        mine = {"environment": self.environment, "steps": LONG, "notify": NOTIFY, "arms": arms, "ledger": ledger}
        spec = quick(**{**mine, **changes})
        await self.rollout.start(make_submission(spec))

    async def listed(self) -> None:
        """Wait until visibility knows that the rollout is closed."""
        query = f"WorkflowId = '{self.rollout.id}' AND ExecutionStatus != 'Running'"
        async with asyncio.timeout(30):
            while not [one async for one in self.client.list_workflows(query)]:
                await asyncio.sleep(0.05)

    async def leave_split(self) -> None:
        """Terminate a rollout in the middle of a step."""
        await self.start()
        await self.rollout.until(lambda status: status.canary_weight == 10)
        await self.rollout.handle.terminate("for the test")
        await self.listed()

    def told(self) -> list[str]:
        """Titles of the guard's messages."""
        mine = [request.notification for request in self.world.notices]
        return [one.title for one in mine if one.workflow_id.startswith("guard/")]

    def kinds(self) -> list[str]:
        """Kinds of the guard's ledger entries."""
        return [kind for kind in self.world.kinds() if kind.startswith("guard_")]


@pytest.fixture
async def guarded(temporal_client: Client, world: World, tmp_path: Path) -> AsyncIterator[Guarded]:
    """On the dev server, in an environment of the test's own."""
    world.client = temporal_client
    router = WorldRouter(world)
    async with AsyncExitStack() as stack:
        for worker in guard_workers(temporal_client, world, router):
            await stack.enter_async_context(worker)
        rollout = Rollout(temporal_client, world, asyncio.sleep, now, tick=0.05)
        yield Guarded(temporal_client, world, router, rollout, f"e{uuid4().hex[:8]}", tmp_path / "ledger")


async def test_what_a_terminated_rollout_leaves_is_restored_and_told_once(guarded: Guarded) -> None:
    await guarded.turn_on()
    await guarded.leave_split()
    before = guarded.world.generation
    assert guarded.world.canary == 10
    await guarded.until(lambda: guarded.world.canary == 0)
    assert (guarded.world.writes[-1].generation, guarded.world.writes[-1].restoring) == (before + 1, True)
    await guarded.until(lambda: len(guarded.told()) == 2)
    await guarded.looks(3)
    where = f"{guarded.environment}/checkout"
    assert guarded.told() == [
        f"{where}: traffic is split and no rollout owns it",
        f"{where}: the guard restored the route",
    ]
    assert guarded.kinds() == ["guard_found", "guard_restored"]
    found = next(entry for entry in guarded.world.ledger.values() if entry.kind == "guard_found")
    assert found.rollout_id.startswith(f"guard/{guarded.environment}/traffic/")
    assert (await guarded.status()).findings == []


async def test_a_guard_that_only_tells_writes_nothing(guarded: Guarded) -> None:
    await guarded.turn_on(policy="tell")
    await guarded.leave_split()
    await guarded.until(guarded.told)
    status = await guarded.looks(2)
    assert (guarded.world.canary, len(guarded.told())) == (10, 1)
    assert [opened.finding.kind for opened in status.findings] == ["split"]
    # A word from people is enough.
    await guarded.turn_on(policy="restore")
    await guarded.until(lambda: guarded.world.canary == 0)


async def test_a_change_by_hand_after_the_end_is_put_right(guarded: Guarded) -> None:
    await guarded.start(steps=[{"weight": 10, "for": "1s"}], promotion={"bake": "0s", "rollback_window": "0s"})
    assert (await guarded.rollout.result()).outcome is Outcome.PROMOTED
    await guarded.listed()
    await guarded.turn_on()
    assert (await guarded.looks(1)).findings == []
    guarded.world.route = {"checkout-v1": 100.0, "checkout-v2": 0.0}
    await guarded.until(lambda: guarded.world.canary == 100)
    await guarded.until(guarded.told)
    assert "traffic is on the wrong arm" in guarded.told()[0]


async def test_a_live_rollout_is_let_be(guarded: Guarded) -> None:
    await guarded.turn_on()
    await guarded.start()
    await guarded.rollout.until(lambda status: status.canary_weight == 10)
    status = await guarded.looks(3)
    assert (guarded.world.canary, status.findings, guarded.told()) == (10, [], [])
    assert guarded.router.reads == 0
    await guarded.rollout.send("rollback")
    assert (await guarded.rollout.result()).outcome is Outcome.ROLLED_BACK


async def test_a_blocked_start_says_nothing_and_the_one_before_still_does(guarded: Guarded) -> None:
    await guarded.leave_split()
    await guarded.start("1.2.0")
    assert (await guarded.rollout.result()).outcome is Outcome.BLOCKED
    await guarded.turn_on()
    await guarded.until(lambda: guarded.world.canary == 0)


async def test_a_rollout_that_starts_meanwhile_wins(guarded: Guarded) -> None:
    """The finding is made, then a rollout starts and shifts: the restore of the finding must do nothing."""
    await guarded.leave_split()
    activities = GuardActivities(guarded.client, {"envoy": guarded.router})
    survey = await activities.survey(guarded.environment)
    (finding,), (watched,) = survey.findings, survey.watched
    # By hand, as the admission of a rollout wants it.
    guarded.world.route, guarded.world.generation = {"checkout-v1": 100.0}, guarded.world.generation + 1
    await guarded.start("1.2.0")
    await guarded.rollout.until(lambda status: status.canary_weight == 10)
    request = GuardRestoreRequest(watched=watched, generation=finding.generation + 1)
    answer: GuardRestored = await ActivityEnvironment().run(activities.guard_restore, request)
    assert (answer.done, "runs now" in answer.reason, guarded.world.canary) == (False, True, 10)
    # Also one who has asked before the rollout began, and writes only now, finds a newer generation.
    await guarded.rollout.handle.terminate("for the test")
    late: GuardRestored = await ActivityEnvironment().run(activities.guard_restore, request)
    assert (late.done, late.reason.split(":")[0], guarded.world.canary) == (False, "StaleGeneration", 10)


async def test_beside_one_that_only_advises_a_split_route_is_told_and_restored_after_it(guarded: Guarded) -> None:
    await guarded.leave_split()
    spec = quick(environment=guarded.environment, steps=LONG, notify=NOTIFY, ledger={"path": str(guarded.ledger)})
    await guarded.rollout.start(make_submission(spec, advise=True))
    await guarded.rollout.reach(Phase.STEPPING)
    await guarded.turn_on()
    await guarded.until(guarded.told)
    status = await guarded.looks(2)
    (opened,) = status.findings
    assert (opened.finding.kind, opened.finding.restorable) == ("split", False)
    assert "only advises" in opened.finding.reason
    assert (guarded.world.canary, status.live, guarded.kinds()) == (10, 0, ["guard_found"])
    await guarded.rollout.send("rollback")
    await guarded.until(lambda: guarded.world.canary == 0)


async def test_a_restore_that_is_tried_again_writes_once(guarded: Guarded) -> None:
    await guarded.leave_split()
    activities = GuardActivities(guarded.client, {"envoy": guarded.router})
    survey = await activities.survey(guarded.environment)
    request = GuardRestoreRequest(watched=survey.watched[0], generation=survey.findings[0].generation + 1)
    for _ in range(2):
        answer: GuardRestored = await ActivityEnvironment().run(activities.guard_restore, request)
        assert answer.done
    assert [write.generation for write in guarded.world.writes].count(request.generation) == 1


async def test_a_route_that_cannot_be_read_is_told_once(guarded: Guarded) -> None:
    await guarded.leave_split()
    guarded.router.down = True
    await guarded.turn_on()
    await guarded.until(guarded.told)
    status = await guarded.looks(3)
    assert [title.split(": ")[1] for title in guarded.told()] == ["its route cannot be read and no rollout owns it"]
    assert [opened.finding.kind for opened in status.findings] == ["unreadable"]
    assert guarded.world.canary == 10
    guarded.router.down = False
    await guarded.until(lambda: guarded.world.canary == 0)


async def test_a_rollout_that_temporal_forgot_is_remembered(guarded: Guarded) -> None:
    await guarded.leave_split()
    activities = GuardActivities(guarded.client, {"envoy": guarded.router})
    (watched,) = (await activities.survey(guarded.environment)).watched
    request = SurveyRequest(
        environment=f"{guarded.environment}-elsewhere", known={watched.workflow_id: watched.run_id}, unlisted=[watched]
    )
    seen = await ActivityEnvironment().run(activities.survey_routes, request)
    assert seen.unlisted == [watched.workflow_id]
    assert [finding.kind for finding in seen.findings] == ["split"]
    assert seen.unknown == {}


async def test_what_became_of_one_that_was_stuck_is_known_though_it_is_not_listed(guarded: Guarded) -> None:
    await guarded.leave_split()
    key, activities = guarded.rollout.id, GuardActivities(guarded.client, {"envoy": guarded.router})
    ended = (await guarded.rollout.handle.describe()).run_id
    guarded.world.route, guarded.world.generation = {"checkout-v1": 100.0}, guarded.world.generation + 1
    await guarded.start("1.2.0")
    runs = (await guarded.rollout.handle.describe()).run_id
    request = SurveyRequest(environment=f"{guarded.environment}-elsewhere", stuck={ended: key, runs: key})
    seen = await ActivityEnvironment().run(activities.survey_routes, request)
    assert seen.freed == {ended: "closed", runs: "goes_on"}
    assert (await activities.survey(guarded.environment)).freed is None


async def test_a_finding_stays_open_while_the_rollout_drops_out_of_the_list(guarded: Guarded) -> None:
    await guarded.leave_split()
    activities = GuardActivities(guarded.client, {"envoy": guarded.router})
    here, state = guarded.environment, GuardState(environment=guarded.environment, number="1")
    take_in(state, await activities.survey(here), NOON)
    (key,) = state.open
    known = {key: state.watched[key].run_id}
    # Two looks later Temporal has forgotten it, and the first of them does not read the route yet.
    for minute, unlisted in ((1, []), (2, [state.watched[key]])):
        seen = await activities.survey(f"{here}-elsewhere", known, unlisted)
        take_in(state, seen, NOON + timedelta(minutes=minute))
        assert [(opened.since, opened.told) for opened in state.open.values()] == [(NOON, True)]
        assert ("stopped to list" in state.failure) is (minute == 1)
    assert len(state.outbox) == 1


async def test_an_archive_that_hangs_delays_no_restore(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    restored, hanging = asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def until_restored() -> AsyncIterator[None]:
        hanging.set()
        await restored.wait()
        yield

    monkeypatch.setattr(guard_archive, "beating", until_restored)
    try:
        await guarded.turn_on()
        async with asyncio.timeout(30):
            await hanging.wait()
        await guarded.leave_split()
        # Its own time-outs would end it after a minute.
        await guarded.until(lambda: guarded.world.canary == 0)
    finally:
        restored.set()
    await guarded.until(lambda: len(guarded.told()) == 2)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PayloadUnreadable("its payloads are encrypted"), "its payloads are encrypted"),
        (HistoryUnreadable("event 7 cannot be read"), "event 7 cannot be read"),
        (KeyError("snapshot"), "KeyError: 'snapshot'"),
    ],
)
async def test_one_history_that_cannot_be_read_keeps_no_other_route_from_its_guard(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    await guarded.leave_split()
    activities = GuardActivities(guarded.client, {"envoy": guarded.router})
    listed = activities._runs.listed
    read = activities._runs.facts

    async def with_another(environment: str | None) -> tuple[list[Run], bool]:
        runs, cut = await listed(environment)
        return [*runs, runs[0].model_copy(update={"workflow_id": "canary/x/sealed", "run_id": "sealed"})], cut

    async def facts(run: Run) -> RunFacts | None:
        if run.run_id == "sealed":
            raise error
        return await read(run)

    monkeypatch.setattr(activities._runs, "listed", with_another)
    monkeypatch.setattr(activities._runs, "facts", facts)
    with capture_logs() as logs:
        for _ in range(2):
            survey = await activities.survey(guarded.environment)
    assert [finding.kind for finding in survey.findings] == ["split"]
    assert survey.unknown == {"canary/x/sealed": said}
    # The page says so at every look, the log once.
    assert [(log["run_id"], log["reason"]) for log in logs if log["event"] == "history not readable"] == [
        ("sealed", said)
    ]


async def test_the_history_of_a_dead_rollout_is_kept(guarded: Guarded) -> None:
    await guarded.leave_split()
    await guarded.turn_on(policy="tell")
    async with asyncio.timeout(30):
        while not (status := await guarded.status()).archived:
            assert not status.archive_failure
            await asyncio.sleep(0.05)
    status = await guarded.looks(2)
    assert status.archived == 1
    book, named = f"{guarded.environment}/checkout", f"{guarded.environment}/checkout/1.1.0/1"
    ledger = FileLedger(guarded.ledger)
    entries = await ledger.rollout(book, named)
    assert [(entry.kind, entry.by) for entry in entries] == [("archived", "guard")]
    ((_, history),), lacking = await kept_histories(ledger, entries)
    assert lacking == []
    assert history.events[-1].HasField("workflow_execution_terminated_event_attributes")


async def test_it_is_kept_once_by_whoever_asks_again(guarded: Guarded) -> None:
    """Another worker, which remembers nothing, after one that died before it could say what it had done."""
    await guarded.leave_split()
    request = ArchiveClosedRequest(environment=guarded.environment)
    runs = []
    for _ in range(2):
        activities = GuardArchiveActivities(guarded.client)
        answer: ArchivedClosed = await ActivityEnvironment().run(activities.archive_closed, request)
        runs.append(answer.archived)
        assert (answer.failed, answer.until is not None) == ([], True)
    assert [len(found) for found in runs] == [1, 0]


async def test_a_chain_goes_on_where_it_ended(guarded: Guarded) -> None:
    await guarded.leave_split()
    book, named = f"{guarded.environment}/checkout", f"{guarded.environment}/checkout/1.1.0/1"
    ledger = FileLedger(guarded.ledger)
    before = LedgerEntry(kind="admitted", rollout_id=named, sequence=7, at=await now())
    await ledger.append(book, [before])
    activities = GuardArchiveActivities(guarded.client)
    request = ArchiveClosedRequest(environment=guarded.environment)
    await ActivityEnvironment().run(activities.archive_closed, request)
    assert sorted(entry.sequence for entry in await ledger.rollout(book, named)) == [7, 8]


async def test_a_ledger_that_takes_nothing_is_tried_again(guarded: Guarded) -> None:
    await guarded.leave_split()
    guarded.ledger.write_text("in the way")
    activities = GuardArchiveActivities(guarded.client)
    request = ArchiveClosedRequest(environment=guarded.environment)
    answer: ArchivedClosed = await ActivityEnvironment().run(activities.archive_closed, request)
    assert (answer.archived, len(answer.failed), answer.until) == ([], 1, None)
    guarded.ledger.unlink()
    answer = await ActivityEnvironment().run(activities.archive_closed, request)
    assert (len(answer.archived), answer.failed) == (1, [])


async def test_off_and_on_again(guarded: Guarded) -> None:
    await guarded.turn_on(every=60)
    assert not (await guard_client.turn_off(guarded.client, guarded.environment)).running
    await guarded.client.get_workflow_handle(f"guard/{guarded.environment}").result()
    assert not (await guarded.status()).running
    assert (await guarded.turn_on(every=60)).running


async def test_the_page_tells(guarded: Guarded) -> None:
    await guarded.leave_split()
    await guarded.turn_on(policy="tell")
    await guarded.until(guarded.told)
    handle = guarded.client.get_workflow_handle(f"guard/{guarded.environment}")
    details = (await handle.query("__temporal_workflow_metadata")).current_details
    assert details.startswith(f"### Traffic guard of {guarded.environment}\n\nlooks every 1s; only tells")
    assert "| split" in details
