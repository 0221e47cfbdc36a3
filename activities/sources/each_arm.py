"""Reading what a metric needs of each arm at the same time; an arm without counts is told apart from one with zero."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from coalmine.records import Check, CollectRequest
from coalmine.spec.canary import ArmName

T = TypeVar("T")
NATURAL = " (natural before its first request; until then looks have no data)"


class NoCounts(Exception):
    """Raised when a window has no counts for an arm; the message is the reason for people."""


async def each_arm(read: Callable[[ArmName], Awaitable[T]], request: CollectRequest) -> dict[ArmName, T]:
    """What both arms (the bake: the canary alone) have.

    Raises:
        NoCounts: an arm has nothing; names every arm that has not.
    """
    names: tuple[ArmName, ...] = ("baseline", "canary") if request.compare else ("canary",)
    outcomes = await asyncio.gather(*(read(name) for name in names), return_exceptions=True)
    reasons: list[str] = []
    arms: dict[ArmName, T] = {}
    for name, outcome in zip(names, outcomes, strict=True):
        if isinstance(outcome, NoCounts):
            reasons.append(f"{name}: {outcome}")
        elif isinstance(outcome, BaseException):
            raise outcome
        else:
            arms[name] = outcome
    if reasons:
        raise NoCounts("; ".join(reasons))
    return arms


def no_data_check(name: str, metric: str, reason: str) -> Check:
    """The check ``name`` of a metric without data: nothing is wrong where the canary alone never had any.

    It is called as what ``doctor`` says of the canary itself.
    """
    if not reason.startswith("canary: empty"):
        return Check(ok=False, name=name, reason=reason)
    return Check(ok=True, name=f"{metric}: canary", reason=reason.removeprefix("canary: ") + NATURAL)
