"""The moments of a rollout that faults are planned for, as they are known from outside."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from temporalio.client import WorkflowQueryFailedError
from temporalio.common import SearchAttributeKey
from temporalio.service import RPCError

from coalmine.records import ASK_AGAIN, Phase, RolloutStatus
from coalmine.search_attributes import OUTCOME, PHASE
from tests.faults.witness import attempts

if TYPE_CHECKING:
    from tests.faults.act import Act


async def come_to(act: Act, moment: str) -> None:
    """Wait until a rollout is where the fault is planned for."""
    match moment:
        case "shift":
            while await attempts(act.handle, "shift") == 0 and act.seen.share == 0 and not await act.is_closed():
                await asyncio.sleep(0.02)
        case "look":
            asked = len(act.scene.metrics.server.queries)
            while not any(f'"{act.route}"' in q for q in act.scene.metrics.server.queries[asked:]):
                await asyncio.sleep(0.02)
        case "gate":
            while not await is_gated(act) and not await act.is_closed():
                await asyncio.sleep(0.1)
        case "rollback":
            while act.seen.share == 0:
                await asyncio.sleep(0.02)
            await act.handle.signal("rollback", {"by": "ana", "reason": "fault test"})
        case "bake":
            while act.seen.share < 100 and not await act.is_closed():
                await asyncio.sleep(0.02)
        case "window":
            while await _shown(act, OUTCOME) != "promoted" and not await act.is_closed():
                await asyncio.sleep(0.02)
        case "close":
            while act.seen.share < 100 and not await act.is_closed():
                await asyncio.sleep(0.02)
            # Nothing ends before its messages are delivered, or 15 s have passed: it is closing until then.
            act.scene.hung.add(act.route)
            while await _shown(act, PHASE) != Phase.CLOSED and not await act.is_closed():
                await asyncio.sleep(0.02)
        case "random":
            await asyncio.sleep(act.chance.uniform(0, 6))


async def is_gated(act: Act) -> bool:
    """Whether it waits at its gate; not while nobody answers."""
    try:
        return (await act.handle.query("status", result_type=RolloutStatus)).phase is Phase.GATED
    except RPCError:
        return False  # No worker answers just now.
    except WorkflowQueryFailedError as error:
        if any(again in str(error) for again in ASK_AGAIN):
            return False
        act.add(f"I4: the history cannot be replayed: {error}")
        return False


async def _shown(act: Act, key: SearchAttributeKey[str]) -> str | None:
    """A search attribute as it is now; None while the server is away, too."""
    with suppress(RPCError):
        described = await act.handle.describe()
        return described.typed_search_attributes.get(key)
    return None
