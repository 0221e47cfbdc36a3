"""Heartbeats while something else does the work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from temporalio import activity

SPARE = timedelta(seconds=1)
"""Kept of the caller's limit, so that our own answer arrives before Temporal's time-out does."""


@asynccontextmanager
async def beating(every: float = 0.5) -> AsyncIterator[None]:
    """Beat every so many seconds while the block runs; outside an activity do nothing."""
    beats = asyncio.create_task(_beat(every)) if activity.in_activity() else None
    try:
        yield
    finally:
        if beats is not None:
            beats.cancel()


def time_left(otherwise: timedelta) -> float:
    """Seconds this attempt may take: a little less than the caller waits; ``otherwise`` when nobody set a limit."""
    limit = activity.info().start_to_close_timeout if activity.in_activity() else None
    if limit is None:
        return otherwise.total_seconds()
    return (limit - min(SPARE, limit / 4)).total_seconds()


async def _beat(every: float) -> None:
    while True:
        activity.heartbeat(*activity.info().heartbeat_details)
        await asyncio.sleep(every)
