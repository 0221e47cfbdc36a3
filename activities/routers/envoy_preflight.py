"""What is looked at before a write: refused updates so far, clusters, endpoints; and what would make it fail."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from activities.routers.envoy_admin import Endpoints, EnvoyAdmin, Shown, Silent, Updates
from activities.routers.envoy_document import Reading, Version
from activities.routers.envoy_routes import agreed_weights, managed
from activities.routers.envoy_users import NOBODY, Users, shared
from activities.routers.weights import TOTAL, weights_check
from coalmine.errors import RouteRejected, RouterError
from coalmine.records import Check

PATIENCE = 0.5
"""Seconds a proxy may take to answer before a write: one that hangs must not hold up the others' rollback."""


@dataclass(frozen=True)
class Preflight:
    """One proxy before a write: its updates so far, and endpoints by cluster; or why it is ``silent``."""

    updates: Updates = field(default_factory=Updates)
    clusters: Mapping[str, Endpoints] = field(default_factory=dict)
    silent: str = ""


async def look_first(
    admin: EnvoyAdmin, proxies: Sequence[str], name: str, clusters: Collection[str]
) -> dict[str, Preflight]:
    """Ask all proxies at once. The count of refused updates means something only when it was read before a write."""

    async def look(proxy: str) -> Preflight:
        try:
            async with asyncio.timeout(PATIENCE):
                updates, known = await asyncio.gather(admin.updates(proxy, name), admin.endpoints(proxy, clusters))
        except Silent as error:
            return Preflight(silent=str(error))
        except TimeoutError:
            return Preflight(silent=f"{proxy}: no answer within {PATIENCE:g} s")
        return Preflight(updates, known)

    looks = await asyncio.gather(*(look(proxy) for proxy in proxies))
    return dict(zip(proxies, looks, strict=True))


def named(readings: Mapping[str, Reading], backends: Collection[str], users: Users = NOBODY) -> set[str]:
    """All clusters the files name, the backends, and those of testers and copies."""
    return {*backends, *users.clusters}.union(*(reading.clusters for reading in readings.values()))


def refusals(
    readings: Mapping[str, Reading],
    looks: Mapping[str, Preflight],
    units: Mapping[str, int],
    users: Users = NOBODY,
    *,
    restoring: bool = False,
) -> list[str]:
    """Why these units must not be written; empty when they may. A silent proxy says nothing against it.

    A backend that gets more than it has must have a healthy endpoint. On the way back only one that has nothing yet,
    and it counts as healthy when any proxy sees it so: the rollback of all the others must not wait for one. Where
    none does, the canary that still answers is better than nothing.

    With ``validate_clusters`` Envoy refuses a whole route for one unknown cluster, so the other entries count too;
    of several files only what all of them name, since a proxy reads just one.
    """
    live = [backend for backend, unit in units.items() if unit]
    others = [_others(reading, units) for reading in readings.values()]
    needed = set(live).union(frozenset.intersection(*others) if others else ())
    wanted = {backend: 1 if restoring else units[backend] for backend in live}
    if shared(units):
        needed.update(users.clusters)
        wanted |= dict.fromkeys(users.served, 1)
    rising = [name for name, unit in wanted.items() if any(_has_now(one, name) < unit for one in readings.values())]
    answering = {proxy: look for proxy, look in looks.items() if not look.silent}
    if restoring:
        rising = [name for name in rising if all(_problem(look, name) for look in answering.values())]
    return [problem for proxy, look in answering.items() for problem in _problems(proxy, look, sorted(needed), rising)]


def route_checks(
    name: str,
    backends: Sequence[str],
    weights: Sequence[float],
    readings: Mapping[str, Reading],
    failed: Mapping[str, RouterError],
    looks: Mapping[str, Preflight],
    shown: Mapping[str, Shown],
    *,
    users: Users = NOBODY,
    rehearsed: Mapping[str, str],
) -> list[Check]:
    """One check for the weights, two a file (one is a dry run), one a proxy."""
    checks = [weights_check(weights)]
    for error in failed.values():
        checks.append(Check(ok=False, name="route file", reason=str(error)))
    for path, reading in readings.items():
        problems = _file_problems(name, reading, backends)
        checks.append(_check("route file", problems, f"{path}: holds route {name!r}"))
        if not problems:
            told = [rehearsed[path]] if path in rehearsed else []
            checks.append(_check("dry run", told, f"{path}: can be written, every step of it"))
    versions = {reading.version for reading in readings.values()}
    even = dict.fromkeys(backends, 1)
    for proxy, look in looks.items():
        problems = [look.silent] if look.silent else refusals(readings, {proxy: look}, even, users)
        if not look.silent:
            problems += _healthy(proxy, look, [*backends, *users.served])
            problems += _route_problems(proxy, name, shown.get(proxy), look.updates, versions)
        fine = "; ".join([f"{proxy}: serves route {name!r}", *_ejections(look)])
        checks.append(_check("proxy", list(dict.fromkeys(problems)), fine))
    return checks


def _check(name: str, problems: Sequence[str], fine: str) -> Check:
    return Check(ok=not problems, name=name, reason="; ".join(problems) or fine)


def _file_problems(name: str, reading: Reading, backends: Sequence[str]) -> list[str]:
    try:
        weights = agreed_weights(reading.splits, backends, name)
    except RouteRejected as error:
        return [f"{reading.path}: {error}"]
    strangers = [f"{cluster} {weight:g} %" for cluster, weight in weights.items() if weight and cluster not in backends]
    problems = []
    if strangers:
        problems.append(
            f"{reading.path}: other clusters have traffic ({', '.join(strangers)}): give it to the baseline"
        )
    for split in managed(reading.splits, backends):
        if split.runtime_key:
            problems.append(
                f"{reading.path}: {split.where}: runtime_key_prefix {split.runtime_key!r} lets Envoy's runtime "
                "override the weights: remove it"
            )
    return problems


def _route_problems(
    proxy: str, name: str, shown: Shown | None, updates: Updates, versions: Collection[Version]
) -> list[str]:
    if shown is None:
        return []
    if shown.version is None:
        return [f"{proxy}: has no dynamic route {name!r}: its rds must name it and watch the route file"]
    if updates.version is None:
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


def _problems(proxy: str, look: Preflight, needed: Sequence[str], rising: Sequence[str]) -> list[str]:
    unknown = [cluster for cluster in needed if cluster not in look.clusters]
    problems = [f"{proxy}: does not know cluster {cluster!r}: define it there first" for cluster in unknown]
    return problems + _healthy(proxy, look, [backend for backend in rising if backend not in unknown])


def _healthy(proxy: str, look: Preflight, backends: Sequence[str]) -> list[str]:
    return [
        f"{proxy}: cluster {backend!r} {look.clusters[backend].problem()}: start it before it gets traffic"
        for backend in backends
        if backend in look.clusters and look.clusters[backend].problem()
    ]


def _problem(look: Preflight, backend: str) -> bool:
    return bool(look.clusters.get(backend, Endpoints()).problem())


def _ejections(look: Preflight) -> list[str]:
    return [
        f"outlier detection has ejected {one.ejected} of {one.all} endpoints of {name!r}"
        for name, one in sorted(look.clusters.items())
        if one.ejected
    ]


def _others(reading: Reading, units: Mapping[str, int]) -> frozenset[str]:
    ours: frozenset[str] = frozenset()
    return reading.clusters - ours.union(*(split.clusters for split in managed(reading.splits, list(units))))


def _has_now(reading: Reading, backend: str) -> int:
    """The most units any entry gives it."""
    shares = [split.weights().get(backend, 0.0) for split in reading.splits]
    return round(max(shares, default=0.0) * TOTAL / 100)
