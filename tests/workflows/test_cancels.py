"""A cancel at every instant of a rollout: it is heard, and what the route shows at rest is what the record names.

Where a cancel is to meet something else in one workflow task, nobody conducts workflows until both have happened.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from temporalio import activity
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker, WorkflowInstance, WorkflowInstanceDetails
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from coalmine.records import (
    HOOK_TASK_QUEUE,
    SIDE_TASK_QUEUE,
    TASK_QUEUE,
    WRITE_LEDGER,
    Identity,
    Outcome,
    Phase,
    VerifyRequest,
)
from coalmine.spec.canary import CanarySpec
from tests.workflows.driving import Rollout
from tests.workflows.serving import now
from tests.workflows.specs import make_submission, quick
from tests.workflows.test_orders import rising
from tests.workflows.world import GOOD, HARM, Judgement, World, until_set
from workflows.canary import Canary
from workflows.fleet import Fleet
from workflows.one_input import OneInput

DONE = EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED
HOOK = "http://127.0.0.1:1/hook"
WITHIN = 60
"""Seconds a condition may take on a busy machine."""
FULL = 60
"""Shifts above this weight are the promotion."""


@dataclass(frozen=True)
class LateRunner(SandboxedWorkflowRunner):
    """Fails the first task of every run that another one continued as, until it is let."""

    let: asyncio.Event = field(default_factory=asyncio.Event)

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        """An instance, or a failed task: it is tried again with all that has happened since."""
        if det.info.continued_run_id is not None and not self.let.is_set():
            raise RuntimeError("not yet")
        return super().create_instance(det)


def brief(**changes: Any) -> CanarySpec:
    """A step and a bake of a second each."""
    promotion = {"bake": "1s", "rollback_window": "1h", **changes.pop("promotion", {})}
    return quick(**{"steps": [{"weight": 10, "for": "1s"}], "promotion": promotion, **changes})


def lasting(**changes: Any) -> CanarySpec:
    """A step that is not over before somebody says something."""
    return brief(steps=[{"weight": 10, "for": "1h"}], **changes)


class Conductor:
    """The worker that runs workflows, apart from those that do the work."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._worker: Worker | None = None
        self._task: asyncio.Task[None] | None = None
        self.runner = LateRunner()

    async def begin(self) -> None:
        """From here on workflows go on."""
        self._worker = Worker(
            self._client,
            task_queue=TASK_QUEUE,
            workflows=[Canary, Fleet],
            interceptors=[OneInput()],
            workflow_runner=self.runner,
        )
        self._task = asyncio.create_task(self._worker.run())

    async def pause(self) -> None:
        """From here on what happens waits for a workflow task."""
        if self._worker is not None and self._task is not None:
            await self._worker.shutdown()
            await self._task


@pytest.fixture
async def conductor(temporal_client: Client, world: World) -> AsyncIterator[Conductor]:
    """Workers as in production, but workflows run in one of their own."""
    world.client = temporal_client
    conductor = Conductor(temporal_client)
    async with AsyncExitStack() as stack:
        for queue, works in (
            (TASK_QUEUE, [*world.activities[:-1], Verifier(world).verify_decision]),
            (SIDE_TASK_QUEUE, world.side_activities),
            (HOOK_TASK_QUEUE, world.hook_activities),
        ):
            await stack.enter_async_context(Worker(temporal_client, task_queue=queue, activities=works))
        await conductor.begin()
        yield conductor
        await conductor.pause()


class Verifier:
    """Takes its time to say who signed."""

    def __init__(self, world: World) -> None:
        self.world = world

    @activity.defn(name="verify_decision")
    async def verify_decision(self, request: VerifyRequest) -> Identity:
        """Nobody, once the gate is open."""
        if self.world.read_gate is not None:
            self.world.reading += 1
            await until_set(self.world.read_gate)
        return Identity(reason="nobody signed it")


@pytest.fixture
def rollout_apart(temporal_client: Client, world: World, conductor: Conductor) -> Rollout:
    """A rollout whose workflow runs apart from its activities."""
    return Rollout(temporal_client, world, asyncio.sleep, now, tick=0.05)


async def comes(met: Callable[[], bool]) -> None:
    """Wait until the world has seen something."""
    async with asyncio.timeout(WITHIN):
        while not met():
            await asyncio.sleep(0.01)


async def happened(rollout: Rollout, kind: EventType.ValueType, count: int) -> None:
    """Wait until the history holds so many events of a kind."""
    async with asyncio.timeout(WITHIN):
        while await how_many(rollout, kind) < count:
            await asyncio.sleep(0.02)


async def tried_again(rollout: Rollout, activity: str) -> None:
    """Wait until an activity has failed and will be tried again: its tries are not over soon."""
    async with asyncio.timeout(WITHIN):
        while True:
            pending = (await rollout.handle.describe()).raw_description.pending_activities
            if any(one.activity_type.name == activity and 2 <= one.attempt <= 4 for one in pending):
                return
            await asyncio.sleep(0.02)


async def how_many(rollout: Rollout, kind: EventType.ValueType) -> int:
    history = await rollout.handle.fetch_history()
    return sum(event.event_type == kind for event in history.events)


async def rests(rollout: Rollout, world: World, outcome: Outcome) -> None:
    """CANCELED; route, ledger, search attribute and page all say the one outcome."""
    await rollout.cancelled()
    wanted = {"checkout-v2": 100.0} if outcome is Outcome.PROMOTED else {"checkout-v1": 100.0}
    assert {name: weight for name, weight in world.route.items() if weight} == wanted
    assert rising(world)
    (closed,) = (entry for entry in world.ledger.values() if entry.kind == "closed")
    assert closed.data["outcome"] == outcome
    assert (Outcome.PROMOTED in [entry.data.get("outcome") for entry in world.ledger.values()]) is (
        outcome is Outcome.PROMOTED
    )
    described = await rollout.handle.describe()
    assert described.typed_search_attributes.get(SearchAttributeKey.for_keyword("CoalmineOutcome")) == outcome
    status = await rollout.status()
    assert (status.phase, status.outcome) == (Phase.CLOSED, outcome)
    assert [sequence for _, sequence in sorted(world.ledger)] == list(range(1, len(world.ledger) + 1))
    assert not await rollout.failed_tasks()


def kinds(world: World) -> list[str]:
    return world.kinds()


# ------------------------------------------------------------------------------- before it is promoted


async def test_while_all_traffic_is_being_shifted(live: Rollout, world: World) -> None:
    world.shift_gate, world.shift_gate_above = asyncio.Event(), FULL
    await live.start(make_submission(brief()))
    await comes(lambda: world.shifting > 0)
    await live.handle.cancel()
    await comes(lambda: len(world.writes) == 2 and world.canary == 0)
    world.shift_gate.set()
    await rests(live, world, Outcome.ROLLED_BACK)


async def test_when_all_traffic_was_shifted_but_nobody_heard_of_it(
    rollout_apart: Rollout, world: World, conductor: Conductor
) -> None:
    world.shift_gate, world.shift_gate_above = asyncio.Event(), FULL
    await rollout_apart.start(make_submission(brief()))
    await comes(lambda: world.shifting > 0)
    await conductor.pause()
    before = await how_many(rollout_apart, DONE)
    world.shift_gate.set()
    await happened(rollout_apart, DONE, before + 1)
    assert world.canary == 100
    await rollout_apart.handle.cancel()
    await conductor.begin()
    await rests(rollout_apart, world, Outcome.ROLLED_BACK)


@pytest.mark.parametrize("bake", ["0s", "1s"])
async def test_when_the_last_look_before_the_end_came_with_it(
    rollout_apart: Rollout, world: World, conductor: Conductor, bake: str
) -> None:
    spec = brief(promotion={"bake": bake, "rollback_window": "0s"})
    await rollout_apart.start(make_submission(spec))
    if bake != "0s":
        await rollout_apart.reach(Phase.BAKING)
    else:
        await rollout_apart.reach(Phase.STEPPING)
    world.collect_gate, world.collecting = asyncio.Event(), 0
    await comes(lambda: world.collecting > 0)
    await conductor.pause()
    before = await how_many(rollout_apart, DONE)
    world.collect_gate.set()
    await happened(rollout_apart, DONE, before + 1)
    await rollout_apart.handle.cancel()
    await conductor.begin()
    await rests(rollout_apart, world, Outcome.ROLLED_BACK)


async def test_when_the_ledger_it_waited_for_before_promoting_answers_with_it(
    rollout_apart: Rollout, world: World, conductor: Conductor
) -> None:
    def judge(look: int, stage: str) -> Judgement:
        world.ledger_down = world.ledger_down or stage == "bake"
        return GOOD

    world.judge = judge
    await rollout_apart.start(make_submission(brief()))
    await rollout_apart.until(lambda status: status.unmet == ["the ledger has not taken the record yet"])
    # The write that is tried again: one that is under way since before the fault would leave nothing to write.
    await tried_again(rollout_apart, WRITE_LEDGER.name)
    await conductor.pause()
    before, held = await how_many(rollout_apart, DONE), len(world.ledger)
    world.judge = lambda look, stage: GOOD
    world.ledger_down = False
    await comes(lambda: len(world.ledger) > held)
    await happened(rollout_apart, DONE, before + 1)
    await rollout_apart.handle.cancel()
    await conductor.begin()
    await rests(rollout_apart, world, Outcome.ROLLED_BACK)


async def test_with_an_approval(rollout_apart: Rollout, world: World, conductor: Conductor) -> None:
    gate = {"name": "go", "approval": {"timeout": "4h"}}
    steps = [{"weight": 10, "for": "1s"}, {"weight": 50, "for": "1s", "gate": gate}]
    await rollout_apart.start(make_submission(brief(steps=steps)))
    await rollout_apart.reach(Phase.GATED)
    await conductor.pause()
    await rollout_apart.send("promote", reason="now")
    await rollout_apart.handle.cancel()
    await conductor.begin()
    await rests(rollout_apart, world, Outcome.ROLLED_BACK)


async def test_with_a_rejection_it_ends_as_they_said(
    rollout_apart: Rollout, world: World, conductor: Conductor
) -> None:
    await rollout_apart.start(make_submission(lasting()))
    await rollout_apart.until(lambda status: status.looks == 1)
    await conductor.pause()
    await rollout_apart.send("reject", reason="no")
    await rollout_apart.handle.cancel()
    await conductor.begin()
    await rests(rollout_apart, world, Outcome.REJECTED)


# ------------------------------------------------------------------------- in the window and at its end


async def test_in_the_window_the_record_says_so(live: Rollout, world: World) -> None:
    await live.start(make_submission(brief()))
    await live.reach(Phase.WINDOW)
    await live.handle.cancel(reason="enough")
    await rests(live, world, Outcome.PROMOTED)
    (noted,) = (entry for entry in world.ledger.values() if entry.kind == "cancelled")
    assert noted.reason == "the workflow was cancelled in its rollback window: enough"
    (closed,) = (entry for entry in world.ledger.values() if entry.kind == "closed")
    assert closed.data["cancelled"] is True


async def test_in_the_window_with_a_rollback_it_goes_back(
    rollout_apart: Rollout, world: World, conductor: Conductor
) -> None:
    await rollout_apart.start(make_submission(brief()))
    await rollout_apart.reach(Phase.WINDOW)
    await conductor.pause()
    await rollout_apart.send("rollback", reason="bad")
    await rollout_apart.handle.cancel()
    await conductor.begin()
    await rollout_apart.cancelled()
    assert world.route == {"checkout-v1": 100.0}
    assert (await rollout_apart.status()).outcome is Outcome.ROLLED_BACK
    assert [entry.data["outcome"] for entry in world.ledger.values() if entry.kind == "closed"] == ["rolled_back"]


async def test_in_the_window_with_its_end(rollout_apart: Rollout, world: World, conductor: Conductor) -> None:
    await rollout_apart.start(make_submission(brief(promotion={"rollback_window": "3s"})))
    await rollout_apart.reach(Phase.WINDOW)
    fired = await how_many(rollout_apart, EventType.EVENT_TYPE_TIMER_FIRED)
    await conductor.pause()
    await happened(rollout_apart, EventType.EVENT_TYPE_TIMER_FIRED, fired + 1)
    await rollout_apart.handle.cancel()
    await conductor.begin()
    await rests(rollout_apart, world, Outcome.PROMOTED)


async def test_while_the_old_version_is_retired(live: Rollout, world: World) -> None:
    world.hook_gate = asyncio.Event()
    await live.start(make_submission(brief(hooks={"retire": HOOK}, promotion={"rollback_window": "0s"})))
    await live.reach(Phase.WINDOW)
    await comes(lambda: bool(world.hooks))
    await live.handle.cancel()
    await live.soon(lambda status: status.phase is Phase.CLOSED)
    world.hook_gate.set()
    await rests(live, world, Outcome.PROMOTED)


# --------------------------------------------------------------------------- while it closes, or goes back


def _archive(world: World) -> Callable[[], None]:
    world.archive_gate = gate = asyncio.Event()
    return gate.set


def _ledger(world: World) -> Callable[[], None]:
    world.ledger_down = True

    def mend() -> None:
        world.ledger_down = False

    return mend


@pytest.mark.parametrize(
    ("busy", "outcome"),
    [
        (_archive, Outcome.PROMOTED),
        (_ledger, Outcome.PROMOTED),
        (_ledger, Outcome.ROLLED_BACK),
        (_archive, Outcome.REJECTED),
    ],
)
async def test_while_the_record_is_handed_over(
    live: Rollout, world: World, outcome: Outcome, busy: Callable[[World], Callable[[], None]]
) -> None:
    if outcome is Outcome.PROMOTED:
        # Promoted, but not closed before the record cannot be handed over.
        world.hook_gate = asyncio.Event()
        await live.start(make_submission(brief(hooks={"retire": HOOK}, promotion={"rollback_window": "0s"})))
        await comes(lambda: bool(world.hooks))
        go_on = busy(world)
        world.hook_gate.set()
    else:
        await live.start(make_submission(lasting()))
        await live.until(lambda status: status.looks >= 1)
        go_on = busy(world)
    if outcome is Outcome.REJECTED:
        await live.send("reject")
    elif outcome is Outcome.ROLLED_BACK:
        world.judge = lambda look, stage: HARM
    await live.reach(Phase.CLOSED)
    await live.handle.cancel(reason="too late")
    requested = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED
    await happened(live, requested, 1)
    await live.soon(lambda status: status.outcome is outcome)
    go_on()
    await rests(live, world, outcome)
    (noted,) = (entry for entry in world.ledger.values() if entry.kind == "cancelled")
    assert noted.reason == f"the workflow was cancelled when the rollout was closed as {outcome}: too late"


async def test_while_somebody_still_waits_for_an_answer_nobody_in_line_is_lost(
    rollout_apart: Rollout, world: World, conductor: Conductor
) -> None:
    live = rollout_apart
    conductor.runner.let.set()
    await live.start(make_submission(brief()))
    await live.reach(Phase.WINDOW)
    world.read_gate = asyncio.Event()
    await live.send("extend", token="x.y.z")
    await comes(lambda: world.reading > 0)
    arms = {
        "baseline": {"version": "1.1.0", "backend": "checkout-v2"},
        "canary": {"version": "1.2.0", "backend": "checkout-v3"},
    }
    assert (await live.submit(make_submission(brief(arms=arms)))).disposition == "started"
    await live.soon(lambda status: status.phase is Phase.CLOSED)
    await comes(lambda: "archived" in kinds(world))
    await live.handle.cancel(reason="enough")
    await comes(lambda: "cancelled" in kinds(world))
    world.read_gate.set()
    world.read_gate = None
    status = await live.until(lambda status: status.version == "1.2.0")
    assert status.outcome is None
    assert [entry.data["outcome"] for entry in world.ledger.values() if entry.kind == "closed"] == ["promoted"]


@pytest.mark.parametrize("hanging", ["hook", "diagnosis", "wait"])
async def test_after_the_route_was_restored(live: Rollout, world: World, hanging: str) -> None:
    gate = asyncio.Event()
    if hanging == "hook":
        world.hook_gate = gate
    elif hanging == "diagnosis":
        world.diagnosis_gate = gate
    await live.start(make_submission(lasting(hooks={"rolled_back": HOOK})))
    await live.until(lambda status: status.looks == 1)
    if hanging == "wait":
        world.shift_errors = [ApplicationError("no", type="RouteRejected", non_retryable=True)]
    await live.send("rollback")
    if hanging == "hook":
        await comes(lambda: bool(world.hooks))
    elif hanging == "diagnosis":
        await comes(lambda: bool(world.diagnoses))
    else:
        await comes(lambda: "restore_failed" in kinds(world))
    await live.handle.cancel()
    gate.set()
    await rests(live, world, Outcome.ROLLED_BACK)


# ------------------------------------------------------------------------------------- continue-as-new


async def test_as_the_first_word_of_the_run_that_takes_its_place(
    rollout_apart: Rollout, world: World, conductor: Conductor
) -> None:
    live = rollout_apart
    await live.start(make_submission(brief()))
    first = await live.reach(Phase.WINDOW)
    arms = {
        "baseline": {"version": "1.1.0", "backend": "checkout-v2"},
        "canary": {"version": "1.2.0", "backend": "checkout-v3"},
    }
    assert (await live.submit(make_submission(brief(arms=arms)))).disposition == "started"
    async with asyncio.timeout(WITHIN):
        while (await live.handle.describe()).run_id == first.run_id:
            await asyncio.sleep(0.02)
    await live.handle.cancel(reason="enough")
    conductor.runner.let.set()
    await live.cancelled()
    assert world.canary == 100
    closed = [(e.rollout_id, e.data["outcome"]) for e in world.ledger.values() if e.kind == "closed"]
    assert [outcome for _, outcome in closed] == ["promoted", "rolled_back"]


def test_names(world: World) -> None:
    """Nothing else is verified here than by the activity that is left out."""
    replaced: Any = world.activities[-1]
    assert replaced.__name__ == "verify_decision"
