"""Lists of rollouts, as a real Temporal server answers them."""

from __future__ import annotations

import asyncio

import pytest
from temporalio.client import Client
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from coalmine import executions
from coalmine.errors import InputError
from coalmine.preflight import create_missing
from coalmine.records import TASK_QUEUE, CanaryInput, Phase, canary_id
from coalmine.searching import list_rollouts
from tests.conftest import TemporalServer

SERVICES = 7
WITHIN = 60.0


async def _start(client: Client, number: int, phase: Phase) -> None:
    said = {"Service": f"service-{number}", "Environment": "searching", "Phase": str(phase)}
    pairs = [SearchAttributePair(SearchAttributeKey.for_keyword(f"Coalmine{name}"), one) for name, one in said.items()]
    await client.start_workflow(
        "Canary",
        CanaryInput(service=said["Service"], environment="searching"),
        id=canary_id("searching", said["Service"]),
        task_queue=TASK_QUEUE,
        search_attributes=TypedSearchAttributes(pairs),
    )


async def test_the_latest_some_by_id_and_by_phase(
    bare_temporal: TemporalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await bare_temporal.connect()
    await create_missing(client)
    ids = [canary_id("searching", f"service-{number}") for number in range(SERVICES)]
    for number in range(SERVICES):
        await _start(client, number, Phase.HELD if number % 3 == 0 else Phase.STEPPING)
    async with asyncio.timeout(WITHIN):
        while len(await list_rollouts(client, environment="searching", running=True)) < SERVICES:
            await asyncio.sleep(0.05)

    async def found(**asked: object) -> list[str]:
        return [row.workflow_id for row in await list_rollouts(client, running=True, **asked)]  # type: ignore[arg-type]

    assert await found(environment="searching", limit=3) == ids[:-4:-1]
    assert await found(workflow_ids=[ids[5], ids[1], "canary/searching/nobody"]) == [ids[5], ids[1]]
    assert await found(workflow_ids=[]) == []
    assert await found(environment="searching", phase="held") == [ids[6], ids[3], ids[0]]
    monkeypatch.setattr(executions, "PAGE", 2)
    assert await found(environment="searching", limit=SERVICES - 1) == ids[:0:-1]
    with pytest.raises(InputError, match="no quotes"):
        await found(workflow_ids=["o'dd"])
