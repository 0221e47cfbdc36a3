"""Routers over one Kubernetes object that holds weights: the fence is an annotation, the lock its resourceVersion."""

from __future__ import annotations

import asyncio
import copy
import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager

import structlog

from activities.routers.kubernetes_api import (
    Conflict,
    KubernetesApi,
    Object,
    Refused,
    annotated_generation,
)
from activities.routers.kubernetes_credentials import Clusters
from activities.routers.kubernetes_objects import (
    Dialect,
    Observer,
    is_written,
    meddled,
    object_weights,
    proxy_states,
    rising,
    settled,
    stamp,
    strangers,
    write_into,
)
from activities.routers.kubernetes_rehearsal import rehearsal
from activities.routers.weights import weight_units, weights_check
from coalmine.errors import RouteRejected, RouterError, RouterUnreachable, StaleGeneration
from coalmine.records import Check, Confirmation, ProxyState, RouteState, Weights
from coalmine.spec.canary import Route
from coalmine.spec.kubernetes_routes import KubernetesRoute

ATTEMPTS = 25
"""Times a write is begun anew because somebody else has written the object meanwhile."""
_log = structlog.get_logger("coalmine.router")


class WeightedObjectRouter(ABC):
    """Base of the routers whose weights stand in one object."""

    def __init__(self) -> None:
        self._clusters = Clusters()

    async def aclose(self) -> None:
        """End this loop's connections."""
        await self._clusters.aclose()

    @abstractmethod
    def _options(self, route: Route) -> KubernetesRoute:
        """The route's own keys."""

    @abstractmethod
    def _dialect(self, route: Route) -> Dialect:
        """How its object says weights."""

    def _api(self, route: Route) -> AbstractAsyncContextManager[KubernetesApi]:
        return self._clusters.of(self._options(route))

    async def check(self, route: Route, backends: Sequence[str], weights: Sequence[float]) -> list[Check]:
        """One check for the weights, the object, our rights, each backend and each controller."""
        checks, dialect = [weights_check(weights)], self._dialect(route)
        async with self._api(route) as api:
            try:
                found = await _object(api, dialect, route.name)
            except RouterError as error:
                return [*checks, Check(ok=False, name="object", reason=str(error))]
            for backend in backends:
                problem = await dialect.problem(api, found, backend)
                checks.append(_check("backend", problem, f"{backend!r} can get traffic"))
            problem = await api.may("update", dialect.kind, route.name)
            checks.append(_check("rights", problem, f"may update {dialect.kind.kind} {route.name!r}"))
            down = await dialect.down(api, found)
            drafts = [] if problem else _drafts(dialect, found, backends, weights)
            rehearsed = [await rehearsal(api, dialect.kind, drafts)] if drafts else []
        try:
            others = strangers(object_weights(dialect, found, backends), backends)
            problem = f"other backends have traffic ({others}): give it to the baseline" if others else ""
        except RouteRejected as error:
            problem = str(error)
        checks.append(_check("object", problem, f"{dialect.kind.kind} {route.name!r} names the arms"))
        checks += rehearsed
        for one in dialect.observers(found):
            problem = one.problem or down.get(one.name, "")
            checks.append(_check("controller", problem, f"{one.name}: its controller has taken the object"))
        return checks

    async def read(self, route: Route, backends: Sequence[str] = ()) -> RouteState:
        """The object's weights and generation, and what every controller says of it."""
        dialect = self._dialect(route)
        async with self._api(route) as api:
            found, observers = await settled(lambda: _look(api, dialect, route.name))
        late = [one.problem for one in observers if not one.observed]
        if late:
            raise RouterUnreachable("; ".join(late))
        weights, there = object_weights(dialect, found, backends), annotated_generation(found)
        return RouteState(weights=weights, generation=there, proxies=proxy_states(observers, there, there, weights))

    async def apply(self, route: Route, weights: Weights, generation: int, *, restoring: bool = False) -> RouteState:
        """Write under the fence and watch the controllers take it; after a refusal put the old rules back."""
        dialect, units = self._dialect(route), weight_units(weights)
        if generation < 1:
            raise RouteRejected(f"generation {generation}: generations count from 1")
        state = RouteState(weights=weights, generation=generation)
        async with self._api(route) as api:
            before, written = await self._write(api, dialect, route.name, units, generation)
            if written is not None:
                had = {one.name for one in dialect.observers(before) if one.refused}
                _, observers = await settled(lambda: _look(api, dialect, route.name))
                refused = [one.problem for one in observers if one.observed and one.refused and one.name not in had]
                if refused:
                    after = await _put_back(api, dialect, before, written, list(units), generation)
                    raise RouteRejected(f"{'; '.join(refused)}. {after}")
                state.proxies = proxy_states(observers, generation, generation, weights)
        return state

    async def confirm(self, route: Route, generation: int, backends: Sequence[str] = ()) -> Confirmation:
        """Whether the object carries the generation with its weights, and each controller has taken it as it stands."""
        dialect = self._dialect(route)
        async with self._api(route) as api:
            found, observers = await _look(api, dialect, route.name)
        there, where = annotated_generation(found), f"{dialect.kind.kind} {route.name}"
        problem, weights = "", Weights()
        try:
            weights = object_weights(dialect, found, backends)
            problem = meddled(dialect, found, weights)
        except RouteRejected as error:
            # Hands have left rules that differ, or give nobody anything: that is an answer, and may pass.
            problem = f"{where}: {error}"
        proxies = proxy_states(observers, there, generation, weights)
        wrong = [proxy.detail for proxy in proxies if not proxy.ok]
        if there != generation:
            problem = f"{where}: carries generation {there}, not {generation}"
        if problem:
            wrong.insert(0, problem)
            not_so = {"ok": False, "detail": problem}
            proxies = [proxy.model_copy(update=not_so) if proxy.ok else proxy for proxy in proxies]
            proxies = proxies or [ProxyState(proxy=where, generation=there, **not_so)]
        if wrong:
            return Confirmation(answer="no", reason="; ".join(wrong), proxies=proxies)
        if not observers:
            told = f"{where}: carries generation {generation}; nobody tells when the proxies have it"
            return Confirmation(answer="unsupported", reason=told)
        return Confirmation(answer="yes", proxies=proxies)

    async def _write(
        self, api: KubernetesApi, dialect: Dialect, name: str, units: Mapping[str, int], generation: int
    ) -> tuple[Object, Object | None]:
        """The object before and after; None when it was written already.

        Raises:
            StaleGeneration: a newer generation is there, or the same one with other weights.
            RouteRejected: it must not be written, or was refused; the fence is up all the same where it could be.
        """
        for attempt in range(ATTEMPTS):
            found = await _object(api, dialect, name)
            try:
                if is_written(dialect, found, units, generation):
                    return found, None
            except StaleGeneration as error:
                # Told here: whoever asked may have been cancelled meanwhile, and hear of it no more.
                _log.warning("write refused", error=type(error).__name__, reason=str(error))
                raise
            changed = copy.deepcopy(found)
            write_into(dialect, changed, units)
            if not attempt:
                problems = await _problems(api, dialect, found, units)
                if problems:
                    raise RouteRejected("; ".join(problems))
            stamp(dialect, changed, list(units), generation)
            try:
                return found, await api.replace(dialect.kind, changed)
            except Conflict:
                await asyncio.sleep(random.uniform(0, 0.01 * (attempt + 1)))
            except Refused as error:
                after = await _put_back(api, dialect, found, found, list(units), generation)
                raise RouteRejected(f"{error}. {after}") from error
        raise RouterUnreachable(f"{dialect.kind.kind} {name}: others changed it {ATTEMPTS} times while we wrote")


async def _object(api: KubernetesApi, dialect: Dialect, name: str) -> Object:
    found = await api.find(dialect.kind, name)
    if found is None:
        raise RouteRejected(
            f"{dialect.kind.kind} {api.namespace}/{name} is not there: route.name and route.namespace say which it is"
        )
    return found


async def _look(api: KubernetesApi, dialect: Dialect, name: str) -> tuple[Object, list[Observer]]:
    found = await _object(api, dialect, name)
    return found, dialect.observers(found)


def _drafts(dialect: Dialect, found: Object, backends: Sequence[str], weights: Sequence[float]) -> list[Object]:
    """The object as each step would write it; none where another check says what is wrong with it."""
    baseline, *others = backends
    drafts = []
    for weight in dict.fromkeys(weights):
        draft = copy.deepcopy(found)
        try:
            units = weight_units({baseline: 100 - weight, **dict.fromkeys(others, weight)})
            write_into(dialect, draft, units)
            stamp(dialect, draft, backends, annotated_generation(found) + 1)
        except RouteRejected:
            return []
        drafts.append(draft)
    return drafts


async def _problems(api: KubernetesApi, dialect: Dialect, found: Object, units: Mapping[str, int]) -> list[str]:
    """Why these units must not be written. One that has traffic already may lose its endpoints, but not its Service."""
    news = rising(dialect, found, units)
    answers = await asyncio.gather(*(dialect.problem(api, found, backend) for backend in news))
    return [answer for answer in answers if answer]


async def _put_back(
    api: KubernetesApi, dialect: Dialect, before: Object, ours: Object, backends: Sequence[str], generation: int
) -> str:
    """Put the rules of ``before`` back under ``generation``, unless somebody has changed them since; says which."""
    name = before["metadata"]["name"]
    for _ in range(ATTEMPTS):
        try:
            found = await _object(api, dialect, name)
            if found["metadata"].get("generation") != ours["metadata"].get("generation"):
                return "Somebody has changed it since: it stays as it is"
            if annotated_generation(found) > generation:
                return "Somebody has written a newer generation since: it stays as it is"
            found["spec"] = copy.deepcopy(before["spec"])
            stamp(dialect, found, backends, generation)
            await api.replace(dialect.kind, found)
            return f"It is as it was before, under generation {generation}"
        except Conflict:
            continue
        except (Refused, RouterError) as error:
            return f"The last good rules could not be put back: {error}"
    return "The last good rules could not be put back: others changed it each time"


def _check(name: str, problem: str, fine: str) -> Check:
    return Check(ok=not problem, name=name, reason=problem or fine)
