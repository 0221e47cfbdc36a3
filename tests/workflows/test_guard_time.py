"""The traffic guard over hours, on a server whose time skips: grace, intervals, channels that fail, long histories."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Replayer, Worker

from coalmine.guard_telling import KEPT_UNDELIVERED
from coalmine.records import (
    SIDE_TASK_QUEUE,
    TASK_QUEUE,
    ArchiveClosedRequest,
    ArchivedClosed,
    GuardRestored,
    GuardRestoreRequest,
    GuardSettings,
    GuardState,
    GuardStatus,
    StuckRollout,
    Survey,
    SurveyRequest,
    Watched,
)
from tests.test_guarding import split, watched
from tests.workflows.serving import pass_time
from tests.workflows.world import World
from workflows.guard import TrafficGuard


@dataclass
class Scene:
    """A guard whose surveys the test writes."""

    env: WorkflowEnvironment
    world: World
    survey: Callable[[], Survey] = lambda: Survey(findings=[split()], watched=[watched()])
    survey_error: str = ""
    asked: list[SurveyRequest] = field(default_factory=list)
    at: list[datetime] = field(default_factory=list)
    restores: list[GuardRestoreRequest] = field(default_factory=list)
    answer: GuardRestored = field(default_factory=lambda: GuardRestored(done=True))

    @activity.defn(name="survey_routes")
    async def survey_routes(self, request: SurveyRequest) -> Survey:
        """As scripted."""
        self.asked.append(request)
        self.at.append(await self.env.get_current_time())
        if self.survey_error:
            raise ApplicationError(self.survey_error, type="TemporalUnavailable", non_retryable=True)
        return self.survey()

    @activity.defn(name="guard_restore")
    async def guard_restore(self, request: GuardRestoreRequest) -> GuardRestored:
        """As scripted."""
        self.restores.append(request)
        return self.answer

    @activity.defn(name="archive_closed")
    async def archive_closed(self, request: ArchiveClosedRequest) -> ArchivedClosed:
        """Nothing to do."""
        return ArchivedClosed()

    async def start(self, **settings: Any) -> WorkflowHandle[Any, Any]:
        """A guard of the environment test."""
        state = GuardState(environment="test", settings=GuardSettings(**settings))
        return await self.env.client.start_workflow("TrafficGuard", state, id="guard/test", task_queue=TASK_QUEUE)

    async def sleep(self, minutes: float) -> None:
        """Let time pass."""
        await pass_time(self.env, timedelta(minutes=minutes))

    async def end(self, handle: WorkflowHandle[Any, Any]) -> None:
        """Turn it off, and replay what it did."""
        await handle.execute_update("off", result_type=GuardStatus)
        await handle.result()
        replayer = Replayer(workflows=[TrafficGuard], data_converter=pydantic_data_converter)
        result = await replayer.replay_workflow(await handle.fetch_history(), raise_on_replay_failure=False)
        assert result.replay_failure is None

    def titles(self) -> list[str]:
        """What people were told."""
        return [request.notification.title.split(": ")[1] for request in self.world.notices]


@asynccontextmanager
async def serving(env: WorkflowEnvironment, world: World) -> AsyncIterator[Scene]:
    """A worker for guards alone."""
    scene = Scene(env, world)
    main: list[Any] = [scene.survey_routes, scene.guard_restore, world.write_ledger]
    side: list[Any] = [scene.archive_closed, world.notify]
    async with AsyncExitStack() as stack:
        for worker in (
            Worker(env.client, task_queue=TASK_QUEUE, workflows=[TrafficGuard], activities=main),
            Worker(env.client, task_queue=SIDE_TASK_QUEUE, activities=side),
        ):
            await stack.enter_async_context(worker)
        yield scene


@pytest.fixture
async def scene(env: WorkflowEnvironment, world: World) -> AsyncIterator[Scene]:
    """With the server and the world of the test."""
    async with serving(env, world) as scene:
        yield scene


async def test_it_restores_when_the_grace_is_over_also_between_two_looks(scene: Scene) -> None:
    handle = await scene.start(every=timedelta(minutes=30), grace=timedelta(minutes=2))
    await scene.sleep(1)
    assert scene.restores == []
    await scene.sleep(2)
    (restore,) = scene.restores
    assert restore.generation == split().generation + 1
    assert timedelta(minutes=2) <= scene.at[1] - scene.at[0] < timedelta(minutes=2, seconds=30)
    assert scene.titles() == ["traffic is split and no rollout owns it", "the guard restored the route"]
    await scene.end(handle)


async def test_it_looks_at_its_interval_and_tells_once(scene: Scene) -> None:
    handle = await scene.start(every=timedelta(minutes=5), policy="tell")
    await scene.sleep(62)
    # A look when the grace is over, and one each five minutes.
    assert 13 <= len(scene.asked) <= 14
    assert scene.titles() == ["traffic is split and no rollout owns it"]
    # What the survey told once is not asked for again.
    assert [request.known for request in scene.asked[:2]] == [{}, {watched().workflow_id: watched().run_id}]
    await scene.end(handle)


async def test_a_message_nobody_took_is_sent_at_the_next_look(scene: Scene) -> None:
    scene.world.notify_error = ApplicationError("hung", type="HookUnreachable")
    scene.world.ledger_down = True
    handle = await scene.start(policy="tell")
    await scene.sleep(3)
    assert (scene.titles(), scene.world.kinds()) == ([], [])
    held_up: GuardStatus = await handle.query("status", result_type=GuardStatus)
    assert (held_up.waiting, held_up.forgotten) == (2, 0)
    assert set(held_up.not_taken.split("; ")) == {"LedgerError: disk full", "HookUnreachable: hung"}
    scene.world.notify_error, scene.world.ledger_down = None, False
    await scene.sleep(2)
    taken: GuardStatus = await handle.query("status", result_type=GuardStatus)
    assert (taken.waiting, taken.not_taken) == (0, "")
    assert (scene.titles(), scene.world.kinds()) == (["traffic is split and no rollout owns it"], ["guard_found"])
    await scene.end(handle)


async def test_what_one_look_finds_is_told_whole_and_what_nobody_takes_is_bounded(scene: Scene) -> None:
    many = range(KEPT_UNDELIVERED + 50)
    of = [watched(workflow_id=f"canary/test/a{number}", service=f"a{number}") for number in many]
    scene.survey = lambda: Survey(
        watched=of, findings=[split().model_copy(update={"workflow_id": one.workflow_id}) for one in of]
    )
    handle = await scene.start(policy="tell", every=timedelta(hours=1))
    await scene.sleep(3)
    assert (len(scene.titles()), len(scene.world.kinds())) == (len(of), len(of))
    scene.world.notify_error = ApplicationError("hung", type="HookUnreachable")
    scene.survey = Survey
    await handle.signal("look")
    await scene.sleep(3)
    scene.world.notify_error = None
    await handle.signal("look")
    await scene.sleep(3)
    assert len(scene.titles()) == len(of) + KEPT_UNDELIVERED
    last: GuardStatus = await handle.query("status", result_type=GuardStatus)
    assert (last.waiting, last.forgotten) == (0, len(of) - KEPT_UNDELIVERED)
    await scene.end(handle)


async def test_a_survey_that_fails_is_shown_and_tried_again(scene: Scene) -> None:
    scene.survey_error = "nobody answers"
    handle = await scene.start()
    await scene.sleep(2)
    status: GuardStatus = await handle.query("status", result_type=GuardStatus)
    assert status.failure == "TemporalUnavailable: nobody answers"
    scene.survey_error = ""
    await scene.sleep(4)
    assert len(scene.restores) >= 1
    await scene.end(handle)


async def test_a_refused_restore_is_tried_at_the_next_look(scene: Scene) -> None:
    scene.answer = GuardRestored(done=False, reason="StaleGeneration: 9")
    handle = await scene.start(grace=timedelta(0))
    await scene.sleep(2)
    status: GuardStatus = await handle.query("status", result_type=GuardStatus)
    assert status.findings[0].failure == "StaleGeneration: 9"
    assert len(scene.restores) >= 2
    assert scene.world.kinds() == ["guard_found", "guard_not_restored"]
    await scene.end(handle)


async def test_what_temporal_forgot_is_looked_at_by_memory(scene: Scene) -> None:
    one: Watched = watched()
    scene.survey = lambda: Survey(watched=[one] if len(scene.asked) == 1 else [], unlisted=[one.workflow_id])
    handle = await scene.start()
    await scene.sleep(2)
    assert [request.unlisted for request in scene.asked[:2]] == [[], [one]]
    await scene.end(handle)


async def test_what_becomes_of_the_stuck_is_asked_and_told_when_it_is_known(scene: Scene) -> None:
    stuck = StuckRollout(
        workflow_id="canary/test/a", run_id="r1", environment="test", reason="so", mend="m", watched=watched()
    )
    answers = [Survey(stuck=[stuck], freed={}), Survey(cut=True, freed={}), Survey(freed={"r1": "closed"})]
    scene.survey = lambda: answers[min(len(scene.asked), len(answers)) - 1]
    handle = await scene.start(every=timedelta(minutes=1))
    await scene.sleep(4)
    assert [request.stuck for request in scene.asked[:4]] == [{}, {"r1": "canary/test/a"}, {"r1": "canary/test/a"}, {}]
    assert scene.titles() == ["the rollout is stuck", "no longer stuck"]
    await scene.end(handle)


async def test_a_long_life_continues_as_new_with_all_it_knows(scene: Scene) -> None:
    handle = await scene.start(every=timedelta(minutes=1), policy="tell")
    first = (await handle.describe()).run_id
    for _ in range(12):
        await scene.sleep(60)
        if (await handle.describe()).run_id != first:
            break
    assert (await handle.describe()).run_id != first
    await scene.sleep(2)
    status: GuardStatus = await handle.query("status", result_type=GuardStatus)
    assert status.looks > 100
    assert len(status.findings) == 1
    assert scene.titles() == ["traffic is split and no rollout owns it"]
    assert len({entry.rollout_id for entry in scene.world.ledger.values()}) == 1
    await scene.end(handle)
