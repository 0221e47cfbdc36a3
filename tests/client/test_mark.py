"""The mark of a rollout, on a real server: it tells whatever may change a status, without a worker."""

from __future__ import annotations

import pytest
from temporalio import workflow
from temporalio.client import Client
from temporalio.worker import Worker

with workflow.unsafe.imports_passed_through():
    from coalmine.client import Coalmine, RolloutRef
    from coalmine.errors import RolloutNotFound
    from coalmine.records import CommandInput, Phase, RolloutStatus, Verb

ID = "canary/marked/checkout"


@workflow.defn(name="Canary")
class Held:
    """As much of a rollout as is asked and told here."""

    def __init__(self) -> None:
        self._why = "before"
        self._over = False

    @workflow.run
    async def run(self) -> None:
        """Wait for the rollback."""
        await workflow.wait_condition(lambda: self._over)

    @workflow.query
    def status(self) -> RolloutStatus:
        """Where it stands."""
        return RolloutStatus(
            phase=Phase.HELD, service="checkout", environment="marked", workflow_id=ID, held_reason=self._why
        )

    @workflow.signal
    def extend(self, word: CommandInput) -> None:
        """Hold for another reason."""
        self._why = word.reason

    @workflow.signal
    def rollback(self, word: CommandInput) -> None:
        """Go back."""
        self._over = True


async def test_a_mark_stays_while_nothing_happens_and_is_another_with_another_status(temporal_client: Client) -> None:
    client = temporal_client
    coalmine, ref = Coalmine(client), RolloutRef(ID)
    with pytest.raises(RolloutNotFound):
        await coalmine.mark(ref)
    async with Worker(client, task_queue="marked", workflows=[Held]):
        handle = await client.start_workflow("Canary", id=ID, task_queue="marked")
        assert (await coalmine.status(ref)).held_reason == "before"
        mark = await coalmine.mark(ref)
        assert (await coalmine.status(ref)).held_reason == "before"
        assert await coalmine.mark(ref) == mark
        await handle.signal(str(Verb.EXTEND), CommandInput(by="ana", reason="after"))
        assert await coalmine.mark(ref) != mark
        assert (await coalmine.status(ref)).held_reason == "after"
        mark = await coalmine.mark(ref)
        await handle.signal(str(Verb.ROLLBACK), CommandInput(by="ana"))
        await handle.result()
        assert await coalmine.mark(ref) != mark
