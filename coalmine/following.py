"""Watching one rollout until it is over, through silences and past its neighbours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from coalmine.errors import RolloutNotFound, TemporalUnavailable
from coalmine.records import Phase, RolloutStatus
from coalmine.searching import RolloutRef

LOOK_EVERY = 1.0
"""Seconds between two looks of a watcher."""


def is_over(status: RolloutStatus) -> bool:
    """What watchers wait for: an outcome, or the end. A promoted rollout still keeps its rollback window open."""
    return status.outcome is not None or status.phase is Phase.CLOSED


def over_already(status: RolloutStatus, version: str) -> RolloutStatus | None:
    """How a version ended that is watched, and was over (or was told that it will not start) before it was seen."""
    if any(place.version == version for place in status.waiting):
        return None
    gone = next((one for one in reversed(status.ended) if one.version == version), None)
    if gone is None:
        return None
    return RolloutStatus(
        phase=Phase.CLOSED,
        outcome=gone.outcome,
        cause=gone.cause,
        exit=gone.exit,
        reason=gone.reason,
        service=status.service,
        environment=status.environment,
        region=status.region,
        version=version,
        rollout_id=gone.rollout_id,
        workflow_id=status.workflow_id,
        run_id=gone.run_id,
        closed_at=gone.at,
    )


async def follow(
    ask: Callable[[RolloutRef], Awaitable[RolloutStatus]],
    ask_again: Callable[[RolloutStatus], Awaitable[RolloutStatus]],
    is_open: Callable[[RolloutRef], Awaitable[bool]],
    ref: RolloutRef,
    every: float,
    version: str | None,
) -> AsyncIterator[RolloutStatus | TemporalUnavailable]:
    """Every status until the end, or the reason why there is none now (see ``Coalmine.follow``)."""
    last: RolloutStatus | None = None
    while True:
        try:
            status = await ask(ref)
            if last is not None and last.rollout_id and status.rollout_id != last.rollout_id:
                # The next rollout took the workflow's id over; what became of ours is in its own run.
                status = await ask_again(last)
            elif last is None and version is not None and status.version != version:
                gone = over_already(status, version)
                if gone is not None:
                    yield gone
                    return
                if not await is_open(ref):
                    raise RolloutNotFound(f"{version} did not begin: {ref.workflow_id} ended before; start it again")
                await asyncio.sleep(every)
                continue
        except TemporalUnavailable as error:
            yield error
            await asyncio.sleep(every)
            continue
        last = status
        yield status
        if is_over(status):
            return
        await asyncio.sleep(every)
