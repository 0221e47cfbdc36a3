"""Running a verb's asynchronous part on a connection."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

from coalmine.cli._parser import Args
from coalmine.client import Coalmine, RolloutRef
from coalmine.telemetry.starting import traced_verb

T = TypeVar("T")


def on_connection(args: Args, work: Callable[[Coalmine], Awaitable[T]]) -> T:
    """Connect, do the work, and return what it returns; traced when an OTLP endpoint is set.

    CI systems set that endpoint for every job: settings that cannot be used are said, and stop no rollback.
    """

    async def connected() -> T:
        return await work(await Coalmine.connect(args.profile))

    with traced_verb(args.verb, untraced=_untraced) as marks:
        result = asyncio.run(connected())
        marks.set(exit=result if isinstance(result, int) else None)
        return result


def _untraced(why: str) -> None:
    print(f"not traced: {why}", file=sys.stderr)


async def meant(coalmine: Coalmine, args: Args) -> RolloutRef:
    """The rollout the words name."""
    return await coalmine.find(args.rollout, args.environment, args.region)
