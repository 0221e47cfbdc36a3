"""The fleet: numbers, bans by region, and that nothing wedges it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from temporalio import workflow
from temporalio.client import Client, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from coalmine.records import TASK_QUEUE, Ban, FleetAnswer, FleetRequest, FleetState
from workflows.fleet import Fleet
from workflows.one_input import OneInput


@workflow.defn(name="Asker", sandboxed=False)
class Asker:
    """Stands for a rollout: hears the fleet's answers."""

    def __init__(self) -> None:
        self.heard: list[FleetAnswer] = []

    @workflow.run
    async def run(self, wanted: int) -> list[FleetAnswer]:
        """End with so many answers."""
        await workflow.wait_condition(lambda: len(self.heard) >= wanted)
        return self.heard

    @workflow.signal
    def fleet_answer(self, answer: FleetAnswer) -> None:
        """Hear one."""
        self.heard.append(answer)


def ask(verb: Any = "admit", **changes: Any) -> FleetRequest:
    given = {"environment": "test", "service": "checkout", "version": "1.1.0", "by": "ana", **changes}
    return FleetRequest(verb=verb, **given)


class Environment:
    """One environment's fleet, and rollouts that ask it."""

    def __init__(self, client: Client, fleet: WorkflowHandle[Any, FleetState]) -> None:
        self.client, self.fleet = client, fleet

    async def admit(self, *requests: FleetRequest) -> list[FleetAnswer]:
        """Ask, and wait for all the answers."""
        await self.client.start_workflow(Asker.run, len(requests), id="asker", task_queue=TASK_QUEUE)
        for request in requests:
            await self.fleet.signal("admit", request.model_copy(update={"workflow_id": "asker"}))
        # Not by the handle of the start: waiting with that one would skip years, and the fleet's life.
        asker = self.client.get_workflow_handle("asker", result_type=list[FleetAnswer])
        answers: list[FleetAnswer] = await asker.result()
        return answers

    async def say(self, verb: str, **changes: Any) -> Ban:
        """Ban or unban, by a person."""
        ban: Ban = await self.fleet.execute_update(verb, ask(verb, **changes), result_type=Ban)
        return ban

    async def refused(self, verb: str, **changes: Any) -> str:
        """The reason of a refusal."""
        with pytest.raises(WorkflowUpdateFailedError) as failure:
            await self.say(verb, **changes)
        assert isinstance(failure.value.cause, ApplicationError)
        return failure.value.cause.message

    async def bans(self) -> FleetState:
        """The query."""
        state: FleetState = await self.fleet.query("bans", result_type=FleetState)
        return state


@asynccontextmanager
async def running(client: Client) -> AsyncIterator[Environment]:
    worker = Worker(client, task_queue=TASK_QUEUE, workflows=[Fleet, Asker], interceptors=[OneInput()])
    async with worker:
        await client.start_workflow(Fleet.run, FleetState(environment="test"), id="fleet/test", task_queue=TASK_QUEUE)
        yield Environment(client, client.get_workflow_handle("fleet/test", result_type=FleetState))


@pytest.fixture
async def fleet(env: WorkflowEnvironment) -> AsyncIterator[Environment]:
    """A fleet on a server of its own."""
    async with running(env.client) as fleet:
        yield fleet


async def test_each_rollout_of_a_version_gets_its_number(fleet: Environment) -> None:
    answers = await fleet.admit(
        ask(request_id="a"),
        ask(request_id="b"),
        ask(request_id="c", version="1.2.0"),
        ask(request_id="d", region="eu"),
        ask(request_id="e", service="cart"),
    )
    assert [(answer.request_id, answer.number) for answer in answers] == [
        *(("a", 1), ("b", 2), ("c", 1), ("d", 1), ("e", 1)),
    ]


async def test_a_repeated_request_gets_the_same_number_and_the_newest_ban(fleet: Environment) -> None:
    first, again = await fleet.admit(ask(request_id="a"), ask(request_id="a"))
    assert first == again
    await fleet.say("ban", reason="bad")
    [third] = await fleet.admit(ask(request_id="a"))
    assert third.number == 1
    assert third.ban is not None
    assert third.ban.reason == "bad"


@pytest.mark.parametrize(
    ("banned", "asked", "covered"),
    [(None, None, True), (None, "eu", True), ("eu", "eu", True), ("eu", "us", False), ("eu", None, False)],
)
async def test_bans_by_region(fleet: Environment, banned: str | None, asked: str | None, covered: bool) -> None:
    await fleet.fleet.signal("ban", ask("ban", region=banned, reason="bad"))
    [answer] = await fleet.admit(ask(request_id="a", region=asked))
    assert (answer.ban is not None) == covered


async def test_a_ban_is_lifted_by_a_person(fleet: Environment) -> None:
    await fleet.say("ban", reason="bad", region="eu")
    assert await fleet.refused("unban") == "checkout 1.1.0 is not banned in test (banned: 1.1.0)"
    lifted = await fleet.say("unban", region="eu", by="bo")
    assert (lifted.by, lifted.reason) == ("ana", "bad")
    assert (await fleet.bans()).bans == []
    assert await fleet.refused("unban") == "checkout 1.1.0 is not banned in test (banned: none)"


async def test_banning_again_keeps_one_ban(fleet: Environment) -> None:
    await fleet.say("ban", reason="first")
    await fleet.say("ban", reason="second")
    assert [ban.reason for ban in (await fleet.bans()).bans] == ["second"]


@pytest.mark.parametrize("field", ["service", "version", "by"])
async def test_a_ban_names_what_and_who(fleet: Environment, field: str) -> None:
    assert await fleet.refused("ban", **{field: " "}) == f"'{field}' is empty: say which {field}"


async def test_garbage_wedges_nothing(temporal_client: Client) -> None:
    async with running(temporal_client) as fleet:
        await send_garbage(fleet)
        [answer] = await fleet.admit(ask(request_id="a", service="other"))
        assert answer.number == 1
        history = await fleet.fleet.fetch_history()
        assert not [event for event in history.events if event.HasField("workflow_task_failed_event_attributes")]


async def send_garbage(fleet: Environment) -> None:
    for signal in ("admit", "ban", "unban"):
        for args in ([], [7], ["x", "y"], [{"verb": "dance"}]):
            await fleet.fleet.signal(signal, args=args)
    for bad in ({"workflow_id": ""}, {"workflow_id": "nobody"}, {"workflow_id": "x" * 2_000}, {"run_id": "?"}):
        await fleet.fleet.signal("admit", ask(request_id="z", **{"workflow_id": "asker", **bad}))
    await fleet.fleet.signal("dance")


async def test_it_continues_as_new_and_forgets_nothing(env: WorkflowEnvironment, fleet: Environment) -> None:
    await fleet.say("ban", reason="bad")
    requests = [ask(request_id=f"r{number}") for number in range(700)]
    first = await fleet.fleet.describe()
    for start in range(0, 700, 100):
        answers = await fleet.admit(*requests[start : start + 100])
        assert [answer.number for answer in answers] == list(range(start + 1, start + 101))
    await env.sleep(timedelta(seconds=1))
    state = await fleet.bans()
    assert state.numbers == {"checkout/1.1.0": 700}
    assert [ban.reason for ban in state.bans] == ["bad"]
    [again] = await fleet.admit(requests[-1])
    assert again.number == 700
    assert (await fleet.fleet.describe()).run_id != first.run_id
