"""What the weighted kinds of Kubernetes have in common: a dialect each, and who tells that an object was taken."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from activities.routers.kubernetes_api import (
    ENDPOINT_SLICE,
    SERVICE,
    Kind,
    KubernetesApi,
    Object,
    annotate,
    annotated_generation,
)
from activities.routers.splits import Split, agreed_weights, managed
from activities.routers.weights import percents
from coalmine.errors import RouteRejected, StaleGeneration
from coalmine.records import ProxyState, Weights

WEIGHTS = "coalmine.dev/weights"
"""The annotation that says what the fence stands for, ``<generation>:<backend>=<percent>,...``."""
PATIENCE = 1.0
"""Seconds a controller may take to observe a change before it is called late; they take milliseconds."""
_FIRST_PAUSE = 0.005
_LONGEST_PAUSE = 0.1


@dataclass(frozen=True)
class Observer:
    """A controller that says which version of an object it has taken; ``refused`` is why it did not like it."""

    name: str
    observed: bool
    refused: str = ""

    @property
    def problem(self) -> str:
        """Why it does not show the object as it stands; empty when it does."""
        if not self.observed:
            return f"{self.name}: its controller has not observed the last change"
        return f"{self.name}: {self.refused}" if self.refused else ""


class Dialect(Protocol):
    """One weighted kind: where its weights stand, and who observes it."""

    kind: Kind

    def splits(self, found: Object) -> list[Split]:
        """Its rules that share traffic between backends.

        Raises:
            RouteRejected: a rule cannot be understood.
        """
        ...

    def set_weights(self, found: Object, units: Mapping[str, int]) -> int:
        """Give every rule that names one of the backends these units; returns how many rules those are."""
        ...

    def observers(self, found: Object) -> list[Observer]:
        """Who should observe it."""
        ...

    async def down(self, api: KubernetesApi, found: Object) -> dict[str, str]:
        """Observers that could not carry a change out now, by name, and why; what cannot be told is not there."""
        ...

    async def problem(self, api: KubernetesApi, found: Object, backend: str) -> str:
        """Why the backend cannot get traffic; empty when it can."""
        ...


def object_weights(dialect: Dialect, found: Object, backends: Sequence[str]) -> Weights:
    """Percent by backend, the same in every managed rule.

    Raises:
        RouteRejected: no rule is managed, or they share the traffic differently.
    """
    name = found["metadata"]["name"]
    splits = dialect.splits(found)
    if not managed(splits, backends):
        raise RouteRejected(_no_rule(dialect.kind, name, backends))
    return agreed_weights(splits, backends, name)


def write_into(dialect: Dialect, found: Object, units: Mapping[str, int]) -> None:
    """Put the weights into an object.

    Raises:
        RouteRejected: no rule names one of the backends.
    """
    if not dialect.set_weights(found, units):
        raise RouteRejected(_no_rule(dialect.kind, found["metadata"]["name"], list(units)))


def is_written(dialect: Dialect, found: Object, units: Mapping[str, int], generation: int) -> bool:
    """Whether the object carries this generation with these weights already.

    Raises:
        StaleGeneration: it carries a newer generation, or the same one with other weights.
    """
    there, where = annotated_generation(found), f"{dialect.kind.kind} {found['metadata']['name']}"
    if there > generation:
        raise StaleGeneration(f"{where}: carries generation {there}, newer than {generation}")
    if there < generation:
        return False
    wanted = {backend: weight for backend, weight in percents(units).items() if weight}
    if any(split.live != wanted for split in managed(dialect.splits(found), list(units))):
        raise StaleGeneration(f"{where}: carries generation {generation} with other weights")
    return True


def stamp(dialect: Dialect, found: Object, backends: Sequence[str], generation: int) -> None:
    """Put the fence on an object, and the weights it has under it: hands change those and leave the fence."""
    annotate(found, generation)
    annotations = found["metadata"]["annotations"]
    annotations.pop(WEIGHTS, None)
    # Rules that were put back after a refusal may share the traffic differently: then there is nothing to compare.
    with suppress(RouteRejected):
        annotations[WEIGHTS] = _said(generation, object_weights(dialect, found, backends))


def meddled(dialect: Dialect, found: Object, weights: Weights) -> str:
    """Why the weights of an object are not those of its generation; empty when they are, or nobody wrote down which."""
    there = annotated_generation(found)
    said, shown = found["metadata"].get("annotations", {}).get(WEIGHTS, ""), _said(there, weights)
    # A worker of an older build leaves what it finds there.
    if not said.startswith(f"{there}:") or said == shown:
        return ""
    given, now = said.partition(":")[2], shown.partition(":")[2]
    where = f"{dialect.kind.kind} {found['metadata']['name']}"
    return f"{where}: carries generation {there} with other weights than were written ({now}, not {given})"


def _said(generation: int, weights: Weights) -> str:
    live = sorted((name, weight) for name, weight in weights.items() if weight)
    return f"{generation}:{','.join(f'{name}={weight:g}' for name, weight in live)}"


def rising(dialect: Dialect, found: Object, units: Mapping[str, int]) -> list[str]:
    """Backends that are to get traffic and have none in some rule now."""
    ours = managed(dialect.splits(found), list(units))
    return [backend for backend, unit in units.items() if unit and any(not one.live.get(backend) for one in ours)]


def smallest(units: Mapping[str, int]) -> dict[str, int]:
    """Units as numbers that sum to 100 where whole percents do, else as the smallest that share alike.

    Some controllers take no more than 999 (AWS) or 1,000 (GKE).
    """
    whole = all(unit % 100 == 0 for unit in units.values())
    part = 100 if whole else math.gcd(*units.values())
    return {backend: unit // part for backend, unit in units.items()}


def share_out(
    refs: list[dict[str, Any]],
    units: Mapping[str, int],
    name_of: Callable[[dict[str, Any]], str],
    plain: Callable[[dict[str, Any]], bool],
    like: Callable[[dict[str, Any], str], dict[str, Any]],
) -> None:
    """Give the backends of one rule their weights, in place and in their order.

    One at zero leaves only when nothing but its weight is said of it (``plain``): a reference to what is gone makes
    controllers refuse the whole. New ones are made ``like`` the first of ours.
    """
    weights = smallest(units)
    first = next(ref for ref in refs if name_of(ref) in units)
    named = {name_of(ref) for ref in refs}
    added = [{**like(first, name), "weight": part} for name, part in weights.items() if part and name not in named]
    for ref in refs:
        ref["weight"] = weights.get(name_of(ref), 0)
    refs[:] = [ref for ref in refs if ref["weight"] or not plain(ref)] + added


async def service_problem(api: KubernetesApi, name: str, namespace: str = "") -> str:
    """Why a Service cannot get traffic: it is not there, or has no ready endpoint."""
    where = f"Service {namespace or api.namespace}/{name}"
    service, slices = await asyncio.gather(
        api.find(SERVICE, name, namespace),
        api.list(ENDPOINT_SLICE, {"kubernetes.io/service-name": name}, namespace),
    )
    if service is None:
        return f"{where} is not there: make it before it gets traffic"
    # The API: an endpoint that says nothing of its readiness is ready.
    ready = sum(
        (endpoint.get("conditions") or {}).get("ready") is not False
        for found in slices
        for endpoint in found.get("endpoints") or []
    )
    return "" if ready else f"{where} has no healthy endpoint: start its pods before it gets traffic"


async def settled(look: Callable[[], Awaitable[tuple[Object, list[Observer]]]]) -> tuple[Object, list[Observer]]:
    """Look until every observer has taken the object or refused it, but no longer than ``PATIENCE``."""
    loop = asyncio.get_running_loop()
    deadline, pause = loop.time() + PATIENCE, _FIRST_PAUSE
    while True:
        found, observers = await look()
        if all(one.observed for one in observers) or loop.time() + pause > deadline:
            return found, observers
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)


def proxy_states(observers: Iterable[Observer], there: int, generation: int, weights: Weights) -> list[ProxyState]:
    """What each observer shows; ``ok`` when that is ``generation``. One that has observed the object shows it."""
    states = []
    for one in observers:
        detail = one.problem
        if not detail and there != generation:
            newer = "the newer generation" if there > generation else "generation"
            detail = f"{one.name}: shows {newer} {there}, not {generation}"
        shown = weights if one.observed and not one.refused else {}
        states.append(
            ProxyState(
                proxy=one.name, ok=not detail, generation=there if one.observed else 0, weights=shown, detail=detail
            )
        )
    return states


def strangers(weights: Weights, backends: Collection[str]) -> str:
    """Backends beside the arms that get traffic."""
    return ", ".join(f"{name} {weight:g} %" for name, weight in weights.items() if weight and name not in backends)


def _no_rule(kind: Kind, name: str, backends: Collection[str]) -> str:
    if not backends:
        return f"{kind.kind} {name!r} sends no traffic to a backend: give it a rule with one"
    names = " or ".join(repr(backend) for backend in backends)
    return f"no rule of {kind.kind} {name!r} names {names}: name the backends in the rules whose traffic is to move"
