"""Watching proxies take a route that was just written, or refuse it.

Envoy says neither on its own: a taken route shows as a version in its statistics, a refused one only as a counter that
moved while the version did not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum

from activities.routers.envoy_admin import EnvoyAdmin, Shown, Silent, Updates
from activities.routers.envoy_document import Reading

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
    updates: Updates = field(default_factory=Updates)
    """Its updates so far."""


async def watch(
    admin: EnvoyAdmin, name: str, written: Collection[Reading], before: Mapping[str, Updates]
) -> list[Watched]:
    """Watch all proxies at once.

    Args:
        admin: the admin interfaces.
        name: the route.
        written: the files as they were written; a proxy reads one of them.
        before: by proxy, what had become of its updates before the write.
    """
    return list(await asyncio.gather(*(_watch(admin, proxy, name, written, before[proxy]) for proxy in before)))


async def _watch(admin: EnvoyAdmin, proxy: str, name: str, written: Collection[Reading], before: Updates) -> Watched:
    last = Watched(proxy, Took.WAITING, f"{proxy}: no answer within {PATIENCE:g} s")
    pause = _FIRST_PAUSE
    try:
        async with asyncio.timeout(PATIENCE):
            while last.took is Took.WAITING:
                try:
                    last = await _look(admin, proxy, name, written, before)
                except Silent as error:
                    last = Watched(proxy, Took.WAITING, str(error))
                if last.took is Took.WAITING:
                    await asyncio.sleep(pause)
                    pause = min(pause * 1.5, _LONGEST_PAUSE)
    except TimeoutError:
        pass
    return last


async def _look(admin: EnvoyAdmin, proxy: str, name: str, written: Collection[Reading], before: Updates) -> Watched:
    versions = {reading.version for reading in written}
    generation = max(version.generation for version in versions)
    now = await admin.updates(proxy, name)
    # Statistics that are kept back leave the dump, which tells of every route but one equal to the last.
    if now.version in versions or now.version is None:
        shown = await admin.shown(proxy, name)
        if shown.version in versions:
            return Watched(proxy, Took.SHOWN, shown=shown, updates=now)
    if now.version is not None and now.version.generation > generation:
        return Watched(proxy, Took.OVERTAKEN, f"{proxy}: shows generation {now.version.generation}", updates=now)
    if now.refused > before.refused:
        counted = f"update_rejected {before.refused} -> {now.refused}"
        return Watched(
            proxy, Took.REFUSED, f"{proxy}: Envoy refused the route ({counted}); its log says why", updates=now
        )
    return Watched(proxy, Took.WAITING, f"{proxy}: does not show generation {generation} yet", updates=now)
