"""What is looked at before a write: backends and their endpoints at every proxy; and what would make the write fail."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from activities.routers.splits import PLAIN, Reading, Terms, agreed_weights, managed
from activities.routers.weights import TOTAL
from coalmine.errors import RouteRejected
from coalmine.records import NO_DRY_RUN, Check

PATIENCE = 0.5
"""Seconds a proxy may take to answer before a write: one that hangs must not hold up the others' rollback."""
TRIES = 4
"""How often one is asked while no rollback waits for it: a busy machine may not let it answer that soon."""


@dataclass(frozen=True)
class Endpoints:
    """Of one backend: how many there are, how many may get traffic, how many an outlier detection has ejected."""

    all: int = 0
    healthy: int = 0
    ejected: int = 0

    def problem(self) -> str:
        """Why none may get traffic; empty when one may."""
        if self.healthy:
            return ""
        why = f" (outlier detection has ejected {self.ejected} of {self.all})" if self.ejected else ""
        return f"has no healthy endpoint{why}"


@dataclass(frozen=True)
class Preflight:
    """One proxy before a write: endpoints by backend it knows; or why it is ``silent``.

    ``notes`` are what its users should know of its writes, though nothing speaks against one.
    """

    backends: Mapping[str, Endpoints] = field(default_factory=dict)
    silent: str = ""
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Besides:
    """Backends a route needs besides those of its weights: ``served`` are those whose answers somebody gets."""

    served: Sequence[str] = ()
    backends: Sequence[str] = ()


async def seen(
    preflight: Callable[[], Awaitable[Mapping[str, Preflight]]], *, restoring: bool = False
) -> Mapping[str, Preflight]:
    """Look at every proxy, and again while one has not answered yet, unless a rollback waits."""
    preflights = dict(await preflight())
    for _ in range(0 if restoring else TRIES - 1):
        if not any(one.silent for one in preflights.values()):
            break
        preflights |= {proxy: one for proxy, one in (await preflight()).items() if not one.silent}
    return preflights


def named(readings: Mapping[str, Reading], backends: Collection[str], besides: Besides) -> set[str]:
    """All backends the files name, these, and those besides."""
    return {*backends, *besides.backends}.union(*(reading.clusters for reading in readings.values()))


def refusals(
    readings: Mapping[str, Reading],
    preflights: Mapping[str, Preflight],
    units: Mapping[str, int],
    besides: Besides,
    terms: Terms = PLAIN,
    *,
    restoring: bool = False,
) -> list[str]:
    """Why these units must not be written; empty when they may. A silent proxy says nothing against it.

    A backend that gets more than it has must have a healthy endpoint. On the way back only one that has nothing yet,
    and it counts as healthy when any proxy sees it so: the rollback of all the others must not wait for one. Where
    none does, the canary that still answers is better than nothing.

    Envoy, which validates clusters, refuses a whole route for one unknown cluster, so the other entries count too;
    of several files only what all of them name, since a proxy reads just one.
    """
    live = [backend for backend, unit in units.items() if unit]
    others = [_others(reading, units) for reading in readings.values()]
    needed = set(live).union(frozenset.intersection(*others) if others else ())
    wanted = {backend: 1 if restoring else units[backend] for backend in live}
    if len(live) > 1:
        needed.update(besides.backends)
        wanted |= dict.fromkeys(besides.served, 1)
    rising = [name for name, unit in wanted.items() if any(_has_now(one, name) < unit for one in readings.values())]
    answering = {proxy: preflight for proxy, preflight in preflights.items() if not preflight.silent}
    if restoring:
        rising = [name for name in rising if all(_ails(preflight, name) for preflight in answering.values())]
    return [
        problem
        for proxy, preflight in answering.items()
        for problem in _problems(proxy, preflight, sorted(needed), rising, terms)
    ]


def check_of(name: str, problems: Sequence[str], fine: str) -> Check:
    """One check: its problems, or what is fine."""
    return Check(ok=not problems, name=name, reason="; ".join(problems) or fine)


def no_dry_run(where: str) -> Check:
    """For a plane that rehearses nothing: who may read it need not be who may write it, and it may refuse a write."""
    told = f"{where}: can be read; that it can be written is known once the first step has done it"
    return Check(ok=True, name=NO_DRY_RUN, reason=told)


def file_problems(name: str, reading: Reading, backends: Sequence[str], terms: Terms = PLAIN) -> list[str]:
    """Why the file cannot carry the route for these backends as it is."""
    try:
        weights = agreed_weights(reading.splits, backends, name, terms)
    except RouteRejected as error:
        return [f"{reading.path}: {error}"]
    strangers = [f"{cluster} {weight:g} %" for cluster, weight in weights.items() if weight and cluster not in backends]
    problems = []
    if strangers:
        problems.append(
            f"{reading.path}: other {terms.backend}s have traffic ({', '.join(strangers)}): give it to the baseline"
        )
    for split in managed(reading.splits, backends):
        if split.runtime_key:
            problems.append(
                f"{reading.path}: {split.where}: runtime_key_prefix {split.runtime_key!r} lets Envoy's runtime "
                "override the weights: remove it"
            )
    return problems


def unhealthy(proxy: str, preflight: Preflight, backends: Sequence[str], terms: Terms = PLAIN) -> list[str]:
    """The backends the proxy knows that have no healthy endpoint there."""
    return [
        f"{proxy}: {terms.backend} {backend!r} {preflight.backends[backend].problem()}: start it before it gets traffic"
        for backend in backends
        if backend in preflight.backends and preflight.backends[backend].problem()
    ]


def ejections(preflight: Preflight) -> list[str]:
    """Endpoints that are out by what they answered, though their backend has others."""
    return [
        f"outlier detection has ejected {one.ejected} of {one.all} endpoints of {name!r}"
        for name, one in sorted(preflight.backends.items())
        if one.ejected
    ]


def _problems(
    proxy: str, preflight: Preflight, needed: Sequence[str], rising: Sequence[str], terms: Terms = PLAIN
) -> list[str]:
    unknown = [name for name in needed if name not in preflight.backends]
    problems = [f"{proxy}: does not know {terms.backend} {name!r}: define it there first" for name in unknown]
    return problems + unhealthy(proxy, preflight, [name for name in rising if name not in unknown], terms)


def _ails(preflight: Preflight, backend: str) -> bool:
    return bool(preflight.backends.get(backend, Endpoints()).problem())


def _others(reading: Reading, units: Mapping[str, int]) -> frozenset[str]:
    ours: frozenset[str] = frozenset()
    return reading.clusters - ours.union(*(split.clusters for split in managed(reading.splits, list(units))))


def _has_now(reading: Reading, backend: str) -> int:
    """The most units any entry gives it."""
    shares = [split.weights().get(backend, 0.0) for split in reading.splits]
    return round(max(shares, default=0.0) * TOTAL / 100)
