"""Which rollouts stand otherwise than is known, as a real Temporal server answers it; and the questions."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio import workflow
from temporalio.client import Client
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from coalmine import unlike
from coalmine.preflight import create_missing
from coalmine.records import CanaryInput, canary_id
from coalmine.search_attributes import OUTCOME, PHASE, WEIGHT
from coalmine.searching import RolloutRow, list_rollouts
from coalmine.unlike import list_unlike, questions
from tests.conftest import TemporalServer

QUEUE, ENVIRONMENT, COUNT = "unlike", "unlike", 9
WITHIN = 60.0


@workflow.defn(name="Canary")
class Told:
    """Open for good, and as it was told."""

    @workflow.run
    async def run(self, given: CanaryInput) -> None:
        await workflow.wait_condition(lambda: False)

    @workflow.update
    async def stand(self, phase: str, weight: int, outcome: str) -> None:
        said = OUTCOME.value_set(outcome) if outcome else OUTCOME.value_unset()
        workflow.upsert_search_attributes([PHASE.value_set(phase), WEIGHT.value_set(weight), said])


def place(number: int) -> str:
    return canary_id(ENVIRONMENT, f"service-{number}")


async def start(client: Client, number: int, *, attributes: bool = True) -> None:
    pairs: list[SearchAttributePair[Any]] = []
    if attributes:
        pairs = [SearchAttributePair(PHASE, "stepping"), SearchAttributePair(WEIGHT, 10)]
    await client.start_workflow(
        "Canary",
        CanaryInput(service=f"service-{number}", environment=ENVIRONMENT),
        id=place(number),
        task_queue=QUEUE,
        search_attributes=TypedSearchAttributes(pairs),
    )


async def listed(client: Client) -> list[RolloutRow]:
    return await list_rollouts(client, running=True, limit=100)


async def met(ask: Callable[[], Awaitable[set[str]]], wanted: set[str]) -> None:
    """The server's lists follow what happened after a moment."""
    async with asyncio.timeout(WITHIN):
        while await ask() != wanted:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("named", [1_000, 4])
async def test_those_that_changed_or_are_not_known_are_listed_and_no_others(
    bare_temporal: TemporalServer, monkeypatch: pytest.MonkeyPatch, named: int
) -> None:
    monkeypatch.setattr(unlike, "NAMED", named)
    client = await bare_temporal.connect()
    await create_missing(client)
    async with Worker(client, task_queue=QUEUE, workflows=[Told], workflow_runner=UnsandboxedWorkflowRunner()):
        for number in range(COUNT):
            await start(client, number)

        async def stand(number: int, phase: str, weight: int, outcome: str = "") -> None:
            await client.get_workflow_handle(place(number)).execute_update(Told.stand, args=[phase, weight, outcome])

        async def changed() -> set[str]:
            return {row.workflow_id for row in await list_unlike(client, known, 100)}

        known: list[RolloutRow] = []
        await met(changed, {place(number) for number in range(COUNT)})
        await stand(1, "baking", 100)
        await stand(2, "window", 100, "promoted")
        await stand(3, "window", 100)
        known = []
        async with asyncio.timeout(WITHIN):
            while Counter(row.phase for row in known) != {"stepping": COUNT - 3, "baking": 1, "window": 2} or not any(
                row.outcome for row in known
            ):
                known = await listed(client)
        assert await changed() == set()
        steps: list[tuple[int, tuple[str, int, str]]] = [
            (0, ("stepping", 20, "")),  # a weight nobody had
            (1, ("stepping", 10, "")),  # where others stand
            (2, ("window", 100, "")),  # an outcome less
            (3, ("window", 100, "promoted")),  # one that another had
            (4, ("held", 10, "")),  # a phase nobody was in
            (5, ("baking", 100, "rolled_back")),  # an outcome nobody had
        ]
        so_far: set[str] = set()
        for number, how in steps:
            await stand(number, *how)
            so_far.add(place(number))
            await met(changed, so_far)
        await start(client, COUNT, attributes=False)
        await met(changed, {*so_far, place(COUNT)})
        for number in (0, COUNT):
            await client.get_workflow_handle(place(number)).terminate()
        await met(changed, so_far - {place(0)})
        known = await listed(client)
        assert await changed() == set()


def a_row(number: int, started: datetime, workflow_id: str = "", phase: str = "stepping") -> RolloutRow:
    return RolloutRow(
        service="s", environment="e", workflow_id=workflow_id or place(number), started_at=started, phase=phase
    )


def test_each_question_names_so_many_and_what_started_in_one_moment_is_in_one() -> None:
    began = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    moments = [began + timedelta(seconds=max(number, 1_500) if number < 1_600 else number) for number in range(3_000)]
    asked = list(questions(a_row(number, moment) for number, moment in enumerate(moments)))
    assert [question.count("canary/") for question in asked] == [1_501, 1_000, 499]
    assert asked[0].count("StartTime") == 1
    assert "StartTime <= '2026-03-01T12:25:00.000000Z'" in asked[0]
    assert "StartTime > '2026-03-01T12:25:00.000000Z' AND StartTime <= '" in asked[1]
    assert asked[2].count("StartTime") == 1


def test_what_nothing_is_known_of_is_all_asked_for() -> None:
    assert list(questions([])) == ["WorkflowType = 'Canary' AND CloseTime IS NULL"]


@pytest.mark.parametrize(
    "odd", [{"workflow_id": "canary/e/o'dd"}, {"phase": "o'dd"}, {"workflow_id": "canary/e/o\\dd"}]
)
def test_what_cannot_stand_in_a_question_is_left_out_of_it(odd: dict[str, str]) -> None:
    began = datetime(2026, 3, 1, tzinfo=UTC)
    (asked,) = questions([a_row(1, began), a_row(2, began, **odd)])
    assert "odd" not in asked.replace("\\", "").replace("'", "")
    assert place(1) in asked
