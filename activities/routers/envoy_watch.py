"""Watching proxies take a route that was just written, or refuse it.

Envoy says neither on its own: a taken route shows as the version in the config dump, a refused one only as a counter
that moved while the version did not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum

from activities.routers.envoy_admin import EnvoyAdmin, Shown, Silent
from activities.routers.envoy_document import Version

PATIENCE = 1.0
"""Seconds; a proxy takes a file within milliseconds. One that lags is left to ``confirm``."""
_FIRST_PAUSE = 0.002
_LONGEST_PAUSE = 0.05


class Took(Enum):
    """What a proxy did with the route."""

    SHOWN = "shows it"
    REFUSED = "refused it"
    OVERTAKEN = "shows a newer one"
    WAITING = "does not show it yet"


@dataclass(frozen=True)
class Watched:
    """One proxy, what it did, and what it showed last."""

    proxy: str
    took: Took
    detail: str = ""
    shown: Shown | None = None
    refused: int = 0
    """Updates it has refused so far."""


async def watch(
    admin: EnvoyAdmin, name: str, versions: Collection[Version], generation: int, refused: Mapping[str, int]
) -> list[Watched]:
    """Watch all proxies at once.

    Args:
        admin: the admin interfaces.
        name: the route.
        versions: what a proxy may show, one for each file.
        generation: their generation.
        refused: by proxy, the updates it had refused before the write.
    """
    return list(
        await asyncio.gather(*(_watch(admin, proxy, name, versions, generation, refused[proxy]) for proxy in refused))
    )


async def _watch(
    admin: EnvoyAdmin, proxy: str, name: str, versions: Collection[Version], generation: int, refused: int
) -> Watched:
    last = Watched(proxy, Took.WAITING, f"{proxy}: no answer within {PATIENCE:g} s")
    pause = _FIRST_PAUSE
    try:
        async with asyncio.timeout(PATIENCE):
            while last.took is Took.WAITING:
                try:
                    last = await _look(admin, proxy, name, versions, generation, refused)
                except Silent as error:
                    last = Watched(proxy, Took.WAITING, str(error))
                if last.took is Took.WAITING:
                    await asyncio.sleep(pause)
                    pause = min(pause * 1.5, _LONGEST_PAUSE)
    except TimeoutError:
        pass
    return last


async def _look(
    admin: EnvoyAdmin, proxy: str, name: str, versions: Collection[Version], generation: int, refused: int
) -> Watched:
    shown = await admin.shown(proxy, name)
    if shown.version in versions:
        return Watched(proxy, Took.SHOWN, shown=shown, refused=refused)
    if shown.generation > generation:
        return Watched(proxy, Took.OVERTAKEN, f"{proxy}: shows generation {shown.generation}", shown)
    now = await admin.refused(proxy, name)
    if now > refused:
        # The counter may have moved for an earlier write while ours was being taken: look again.
        shown = await admin.shown(proxy, name)
        if shown.version in versions:
            return Watched(proxy, Took.SHOWN, shown=shown, refused=refused)
        reason = f"{proxy}: Envoy refused the route (update_rejected {refused} -> {now}); its log says why"
        return Watched(proxy, Took.REFUSED, reason, shown, now)
    return Watched(proxy, Took.WAITING, f"{proxy}: does not show generation {generation} yet", shown)
