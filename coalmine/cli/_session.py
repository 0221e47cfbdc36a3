"""Running a verb's asynchronous part on a connection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from coalmine.cli._parser import Args
from coalmine.client import Coalmine, RolloutRef

T = TypeVar("T")


def on_connection(args: Args, work: Callable[[Coalmine], Awaitable[T]]) -> T:
    """Connect, do the work, and return what it returns."""

    async def connected() -> T:
        return await work(await Coalmine.connect(args.profile))

    return asyncio.run(connected())


async def meant(coalmine: Coalmine, args: Args) -> RolloutRef:
    """The rollout the words name."""
    return await coalmine.find(args.rollout, args.environment, args.region)
