"""An update that is given up with the workflow task that carried it: said again, and a rollback is never lost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from coalmine import searching
from coalmine.client import Coalmine, RolloutRef
from coalmine.errors import TemporalUnavailable
from coalmine.records import CommandReceipt, Phase, Verb
from coalmine.rollout_commands import TRIES

REF = RolloutRef("canary/test/checkout")
SAID = "Unable to perform workflow execution update due to unexpected workflow task failure."


@dataclass
class Losing:
    """A connection whose workflow loses the first tasks that carry an update."""

    lost: int
    namespace: str = "n"
    told: list[str] = field(default_factory=list)
    signals: list[str] = field(default_factory=list)

    def get_workflow_handle(self, *_: object, **__: object) -> Losing:
        return self

    async def execute_update(self, name: str, *_: object, **__: Any) -> CommandReceipt:
        self.told.append(name)
        if len(self.told) <= self.lost:
            raise RPCError(SAID, RPCStatusCode.FAILED_PRECONDITION, b"")
        return CommandReceipt(message="done", phase=Phase.STEPPING)

    async def signal(self, name: str, *_: object, **__: object) -> None:
        self.signals.append(name)


@pytest.fixture(autouse=True)
def no_list(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: object, **__: object) -> list[object]:
        return []

    monkeypatch.setattr(searching, "list_rollouts", nothing)


@pytest.mark.parametrize("verb", [Verb.PAUSE, Verb.ROLLBACK])
async def test_it_is_said_again(verb: Verb) -> None:
    server = Losing(TRIES - 1)
    receipt = await Coalmine(cast(Client, server)).send(REF, verb, by="ana")
    assert receipt.message == "done"
    assert (server.told, server.signals) == ([verb] * TRIES, [])


async def test_a_rollback_is_left_for_a_worker_that_can_carry_out_tasks() -> None:
    server = Losing(TRIES)
    receipt = await Coalmine(cast(Client, server)).send(REF, Verb.ROLLBACK, by="ana")
    assert server.signals == ["rollback"]
    assert "rollback is recorded, and is carried out once a worker can" in receipt.message


async def test_another_word_was_not_taken_and_says_so() -> None:
    server = Losing(TRIES)
    with pytest.raises(TemporalUnavailable, match=r"pause to canary/test/checkout: the task .* failed, each time"):
        await Coalmine(cast(Client, server)).send(REF, Verb.PAUSE, by="ana")
    assert server.signals == []
