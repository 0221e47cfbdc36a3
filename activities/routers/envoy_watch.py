"""Watching proxies take a route that was just written, or refuse it.

Envoy says neither on its own: a taken route shows as a version in its statistics, a refused one only as a counter that
moved while the version did not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from activities.routers.envoy_admin import EnvoyAdmin, Updates
from activities.routers.splits import Reading
from activities.routers.watching import Took, Watched, until_taken


@dataclass(frozen=True)
class EnvoyWatched(Watched):
    """And its updates so far."""

    updates: Updates = field(default_factory=Updates)


async def watch(
    admin: EnvoyAdmin, name: str, written: Collection[Reading], before: Mapping[str, Updates]
) -> list[EnvoyWatched]:
    """Watch all proxies at once.

    Args:
        admin: the admin interfaces.
        name: the route.
        written: the files as they were written; a proxy reads one of them.
        before: by proxy, what had become of its updates before the write.
    """
    return list(await asyncio.gather(*(_watch(admin, proxy, name, written, before[proxy]) for proxy in before)))


async def _watch(
    admin: EnvoyAdmin, proxy: str, name: str, written: Collection[Reading], before: Updates
) -> EnvoyWatched:
    last = await until_taken(proxy, lambda: _look(admin, proxy, name, written, before))
    return last if isinstance(last, EnvoyWatched) else EnvoyWatched(proxy, last.took, last.detail)


async def _look(
    admin: EnvoyAdmin, proxy: str, name: str, written: Collection[Reading], before: Updates
) -> EnvoyWatched:
    versions = {reading.version for reading in written}
    generation = max(version.generation for version in versions)
    now = await admin.updates(proxy, name)
    # Statistics that are kept back leave the dump, which tells of every route but one equal to the last.
    if now.version in versions or now.version is None:
        shown = await admin.shown(proxy, name)
        if shown.version in versions:
            return EnvoyWatched(proxy, Took.SHOWN, shown=shown, updates=now)
    if now.version is not None and now.version.generation > generation:
        return EnvoyWatched(proxy, Took.OVERTAKEN, f"{proxy}: shows generation {now.version.generation}", updates=now)
    if now.refused > before.refused:
        counted = f"update_rejected {before.refused} -> {now.refused}"
        return EnvoyWatched(
            proxy, Took.REFUSED, f"{proxy}: Envoy refused the route ({counted}); its log says why", updates=now
        )
    return EnvoyWatched(proxy, Took.WAITING, f"{proxy}: does not show generation {generation} yet", updates=now)
