"""What is asked of an Envoy before a write, and what of its answer would make one fail."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from activities.routers.envoy_admin import EnvoyAdmin, Updates
from activities.routers.preflight import PATIENCE, Preflight
from activities.routers.splits import Shown, Silent, Version


@dataclass(frozen=True)
class EnvoyPreflight(Preflight):
    """And what had become of its updates before the write."""

    updates: Updates = field(default_factory=Updates)


async def envoy_preflights(
    admin: EnvoyAdmin, proxies: Sequence[str], name: str, clusters: Collection[str]
) -> dict[str, EnvoyPreflight]:
    """Ask all proxies at once. The count of refused updates means something only when it was read before a write."""

    async def preflight(proxy: str) -> EnvoyPreflight:
        try:
            async with asyncio.timeout(PATIENCE):
                updates, known = await asyncio.gather(admin.updates(proxy, name), admin.endpoints(proxy, clusters))
        except Silent as error:
            return EnvoyPreflight(silent=str(error))
        except TimeoutError:
            return EnvoyPreflight(silent=f"{proxy}: no answer within {PATIENCE:g} s")
        return EnvoyPreflight(known, updates=updates)

    preflights = await asyncio.gather(*(preflight(proxy) for proxy in proxies))
    return dict(zip(proxies, preflights, strict=True))


def route_problems(
    proxy: str, name: str, shown: Shown | None, preflight: Preflight, versions: Collection[Version]
) -> list[str]:
    """What is wrong with the route as the proxy shows it."""
    if shown is None:
        return []
    if shown.version is None:
        return [f"{proxy}: has no dynamic route {name!r}: its rds must name it and watch the route file"]
    if isinstance(preflight, EnvoyPreflight) and preflight.updates.version is None:
        return [
            f"{proxy}: its stats_matcher leaves out http.*.rds.{name}.*, so a refused update could not be seen: "
            "let them in"
        ]
    if shown.version not in versions:
        return [
            f"{proxy}: uses version {shown.version.text!r} of the route, which is in no route file: it watches another "
            "file, or refused the last change (its log says why)"
        ]
    return []


def updates_before(preflights: Mapping[str, Preflight]) -> dict[str, Updates]:
    """By proxy that answered, what had become of its updates."""
    return {
        proxy: preflight.updates
        for proxy, preflight in preflights.items()
        if isinstance(preflight, EnvoyPreflight) and not preflight.silent
    }
