"""Nothing hangs and nothing is lost when no worker runs."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, DescribeTaskQueueResponse
from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode, WorkflowService

from coalmine import fleet_client, pollers, rollout_questions, searching, starting
from coalmine.errors import TemporalUnavailable
from coalmine.records import TASK_QUEUE, Phase
from tests.cli.conftest import Desk


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """For where no worker is, nor comes: however short the wait for one, it is in vain."""
    monkeypatch.setattr(fleet_client, "WITHIN", timedelta(seconds=1))


async def retired(desk: Desk, patch: pytest.MonkeyPatch) -> None:
    """End the workers, and only then wait for none of them; the server has all its time."""
    await desk.retire()
    patch.setattr(rollout_questions, "CALL_WITHIN", timedelta(seconds=1.5))


async def test_a_start_is_bounded_and_starts_nothing(empty_desk: Desk) -> None:
    ran = await empty_desk.type("start", empty_desk.write(), "--start-within", "1s", "-o", "json")
    assert ran.code == 1
    assert ran.data["error"]["type"] == "TemporalUnavailable"
    assert ran.data["error"]["retryable"] is True
    assert "no worker polls task queue 'coalmine'" in ran.err
    assert "nothing was started" in ran.err
    assert [left async for left in empty_desk.client.list_workflows("")] == []


async def test_a_start_whose_worker_has_just_gone_is_taken_back(
    empty_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def still_listed(*_: object) -> None:
        """A server may remember a poller for minutes."""

    monkeypatch.setattr(starting, "await_worker", still_listed)
    ran = await empty_desk.type("start", empty_desk.write(), "--start-within", "1s")
    assert ran.code == 1
    assert "nothing was started" in ran.err
    described = await empty_desk.client.get_workflow_handle("canary/test/checkout").describe()
    assert described.status is WorkflowExecutionStatus.TERMINATED


async def test_a_start_waits_for_a_worker_that_comes_up(empty_desk: Desk) -> None:
    starting = asyncio.create_task(empty_desk.type("start", empty_desk.write(policy={"look": "1s"})))
    await asyncio.sleep(0.5)
    await empty_desk.serve()
    assert (await starting).code == 0


class Hiccups:
    """A server that answers the question for pollers only after so many it did not answer."""

    def __init__(self, patch: pytest.MonkeyPatch, count: int, status: RPCStatusCode) -> None:
        self.asked = 0
        answers = WorkflowService.describe_task_queue

        async def describe(
            service: WorkflowService, request: DescribeTaskQueueRequest, *, timeout: timedelta | None = None
        ) -> DescribeTaskQueueResponse:
            self.asked += 1
            if self.asked > count:
                return await answers(service, request, timeout=timeout)
            raise RPCError("it hiccups", status, b"")

        patch.setattr(WorkflowService, "describe_task_queue", describe)


@pytest.mark.parametrize("status", [RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.UNAVAILABLE])
async def test_a_start_outlasts_a_server_that_is_slow(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, status: RPCStatusCode
) -> None:
    server = Hiccups(monkeypatch, 3, status)
    ran = await desk.type("start", desk.write(policy={"look": "1s"}))
    assert ran.code == 0, ran
    assert server.asked > 3


async def test_a_server_that_stays_slow_is_told_when_the_time_is_over(
    empty_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pollers, "_CALL", timedelta(microseconds=1))
    ran = await empty_desk.type("start", empty_desk.write(), "--start-within", "1s")
    assert ran.code == 1
    assert "task queue 'coalmine': no answer within" in ran.err
    assert "(waited 1 s; nothing was started)" in ran.err


async def test_a_server_that_says_no_is_not_asked_again(empty_desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Hiccups(monkeypatch, 3, RPCStatusCode.PERMISSION_DENIED)
    ran = await empty_desk.type("start", empty_desk.write())
    assert ran.code == 1
    assert "Temporal does not let us in (it hiccups)" in ran.err
    assert server.asked == 1


async def test_questions_and_commands_say_so(busy_desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await retired(busy_desk, monkeypatch)
    asked = await busy_desk.type("status", "checkout")
    assert asked.code == 1
    assert "worker" in asked.err
    said = await busy_desk.type("pause", "checkout")
    assert said.code == 1
    assert "pause was not confirmed" in said.err
    listed = await busy_desk.type("list", "-o", "json")
    assert listed.data["rollouts"][0]["phase"] == "stepping"
    history = await busy_desk.type("history", "checkout")
    assert history.code == 0
    assert "shift 10 % to 1.1.0" in history.out
    watched = await busy_desk.type("watch", "checkout", "--timeout", "8s", "-o", "json")
    assert watched.code == 8
    assert "(still watching)" in watched.err


async def no_lists(*_: object, **__: object) -> None:
    """A visibility store that is away."""
    raise TemporalUnavailable("no lists now")


async def test_a_rollback_is_not_lost(busy_desk: Desk) -> None:
    with pytest.MonkeyPatch.context() as patch:
        await retired(busy_desk, patch)
        # What is recorded is recorded, also while the server gives no lists.
        patch.setattr(searching, "list_rollouts", no_lists)
        ran = await busy_desk.type("rollback", "checkout", "-e", "test", "--no-wait", "-o", "json")
    assert ran.code == 0, ran.err
    assert "rollback is recorded and will be carried out by the next worker" in ran.data["message"]
    await busy_desk.serve()
    status = await busy_desk.until(lambda status: status.phase is Phase.CLOSED)
    assert str(status.outcome) == "rolled_back"
    assert busy_desk.world.canary == 0


@pytest.mark.usefixtures("_impatient")
async def test_bans_say_so(empty_desk: Desk) -> None:
    ran = await empty_desk.type("ban", "checkout", "1.1.0", "-e", "test")
    assert ran.code == 1
    assert f"no worker polls task queue '{TASK_QUEUE}'" in ran.err


async def test_doctor_without_and_with_a_worker(empty_desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COALMINE_UI_URL")
    ill = await empty_desk.type("doctor", "-o", "json")
    assert ill.code == 1
    wrong = [finding["name"] for finding in ill.data["findings"] if finding["level"] == "error"]
    assert wrong == ["queue coalmine", "queue coalmine", "queue coalmine-side", "queue coalmine-hooks"]
    await empty_desk.serve()
    async with asyncio.timeout(60):
        while (well := await empty_desk.type("doctor")).code:
            await asyncio.sleep(0.1)
    assert f"namespace {empty_desk.client.namespace} (from TEMPORAL_ADDRESS)" in well.out
    assert "workers run unversioned" in well.out


async def test_doctor_names_what_the_namespace_lacks(empty_desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_NAMESPACE", "nowhere")
    ill = await empty_desk.type("doctor")
    assert ill.code == 1
    assert "temporal operator namespace create --namespace nowhere" in ill.out
    listed = await empty_desk.type("list")
    assert listed.code == 1
    assert "temporal operator namespace create" in listed.err


async def test_doctor_without_a_server(empty_desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:9")
    ill = await empty_desk.type("doctor")
    assert ill.code == 1
    assert "no connection to Temporal at 127.0.0.1:9 (from TEMPORAL_ADDRESS)" in ill.out
