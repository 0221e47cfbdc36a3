"""Feature flags: users are dealt to the variants of a flag, in definitions that flagd and OpenFeature providers read.

An app evaluates for itself, from what it read last, so it goes on when all of this is gone; and nobody tells which apps
have read a change. See docs/flags.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import structlog

from activities.routers.flag_document import FlagDocument
from activities.routers.flag_places import FlagPlace, place_of
from activities.routers.options import options_of
from activities.routers.weights import weight_units, weights_check
from coalmine.errors import RouteRejected, RouterError, RouterUnreachable, RouteUnconfirmed, StaleGeneration
from coalmine.records import Capabilities, Check, Confirmation, ProxyState, RouteState, Weights
from coalmine.spec.canary import Route
from coalmine.spec.flag_routes import FlagdRoute

UNSEEN = "every place carries generation {}; apps read it by themselves, and nobody tells which have"
_T = TypeVar("_T")
_log = structlog.get_logger("coalmine.router")


class FlagdRouter:
    """``router: flagd``; ``name`` is the flag's key, a backend is a variant."""

    able = Capabilities(
        fencing="strict",
        granularity=0.01,
        confirm=False,
        stickiness=True,
        tested_against="OpenFeature's Python flagd provider 0.6 on files and OFREP provider 0.3; S3 by moto",
    )

    async def capabilities(self, route: Route) -> Capabilities:
        """Strict fence (a lock on this host, S3's ETag), steps of 0.01 %, users keep their variant."""
        options_of(route, FlagdRoute)
        return self.able

    async def check(self, route: Route, backends: Sequence[str], weights: Sequence[float]) -> list[Check]:
        """One check for the weights, one a place."""
        documents, failed = await _read_all(route)
        checks = [weights_check(weights)]
        checks += [Check(ok=False, name="flag", reason=str(error)) for error in failed.values()]
        testers = options_of(route, FlagdRoute).testers
        for place, document in documents.items():
            problems = [*map(document.problem, backends), document.testers_problem(testers, backends)]
            try:
                shares = document.weights(list(backends))
                others = [f"{name} {share:g} %" for name, share in shares.items() if share and name not in backends]
                if others:
                    problems.append(f"{place}: other variants have users ({', '.join(others)}): give them the baseline")
            except RouteRejected as error:
                problems.append(str(error))
            reason = "; ".join(filter(None, problems))
            checks.append(Check(ok=not reason, name="flag", reason=reason or f"{place}: deals out {route.name!r}"))
        return checks

    async def read(self, route: Route, backends: Sequence[str] = ()) -> RouteState:
        """The newest definition, and what every place holds."""
        documents, failed = await _read_all(route)
        for error in failed.values():
            raise error
        newest = max(documents.values(), key=lambda document: document.generation)
        weights = newest.weights(list(backends))
        states = [_state(document, newest.generation, backends, weights) for document in documents.values()]
        return RouteState(weights=weights, generation=newest.generation, proxies=states)

    async def apply(self, route: Route, weights: Weights, generation: int, *, restoring: bool = False) -> RouteState:
        """Write every place, or none when one carries a newer generation; one that fails does not keep the others."""
        units, testers = weight_units(weights), options_of(route, FlagdRoute).testers
        if generation < 1:
            raise RouteRejected(f"generation {generation}: generations count from 1")
        documents, failed = await _read_all(route)
        if not documents:
            raise next(iter(failed.values()))
        try:
            for document in documents.values():
                document.is_written(units, generation)
                problems = [document.problem(name) for name, unit in units.items() if unit]
                problems.append(document.testers_problem(testers, units))
                if any(problems):
                    raise RouteRejected("; ".join(filter(None, problems)))
                document.weights(list(units))

            def write(place: str, there: FlagPlace) -> None:
                def changed(text: str) -> str | None:
                    document = FlagDocument(place, text, route.name)
                    return (
                        None if document.is_written(units, generation) else document.write(units, generation, testers)
                    )

                there.change(changed)

            _, wrong = await _at_all(route, write)
        except StaleGeneration as error:
            # Told here: whoever asked may have been cancelled meanwhile, and hear of it no more.
            _log.warning("write refused", error=type(error).__name__, reason=str(error))
            raise
        if wrong and len(wrong) == len(options_of(route, FlagdRoute).places):
            raise RouterUnreachable("; ".join(map(str, wrong.values())))
        if wrong:
            raise RouteUnconfirmed(
                f"generation {generation} is not in every place: {'; '.join(map(str, wrong.values()))}"
            )
        places = options_of(route, FlagdRoute).places
        states = [ProxyState(proxy=place, generation=generation, weights=weights) for place in places]
        return RouteState(weights=weights, generation=generation, proxies=states)

    async def confirm(self, route: Route, generation: int, backends: Sequence[str] = ()) -> Confirmation:
        """Whether every place carries the generation. Which apps have read it cannot be known."""
        documents, failed = await _read_all(route)
        states = []
        for place in options_of(route, FlagdRoute).places:
            if place in failed:
                states.append(ProxyState(proxy=place, ok=False, detail=str(failed[place])))
            else:
                states.append(_state(documents[place], generation, backends, None))
        wrong = [state.detail for state in states if not state.ok]
        if wrong:
            return Confirmation(answer="no", reason="; ".join(wrong), proxies=states)
        return Confirmation(answer="unsupported", reason=UNSEEN.format(generation), proxies=states)


async def _read_all(route: Route) -> tuple[dict[str, FlagDocument], dict[str, RouterError]]:
    return await _at_all(route, lambda place, there: FlagDocument(place, there.read(), route.name))


async def _at_all(route: Route, act: Callable[[str, FlagPlace], _T]) -> tuple[dict[str, _T], dict[str, RouterError]]:
    """Do something at every place, in one thread and in order, so that of two writers one is first everywhere.

    Raises:
        StaleGeneration: a place carries a newer generation; those after it are left alone.
    """
    places = options_of(route, FlagdRoute).places

    def at_all() -> tuple[dict[str, _T], dict[str, RouterError]]:
        done: dict[str, _T] = {}
        failed: dict[str, RouterError] = {}
        for place in places:
            try:
                done[place] = act(place, place_of(place))
            except StaleGeneration:
                raise
            except RouterError as error:
                failed[place] = error
        return done, failed

    return await asyncio.to_thread(at_all)


def _state(
    document: FlagDocument, generation: int, backends: Sequence[str], expected: Mapping[str, float] | None
) -> ProxyState:
    """What one place holds; ``ok`` when that is ``generation``, with the weights expected."""
    weights: Weights = {}
    detail = ""
    try:
        weights = document.weights(list(backends))
    except RouteRejected as error:
        detail = str(error)
    if document.generation != generation:
        newer = "the newer generation" if document.generation > generation else "generation"
        detail = f"{document.where}: carries {newer} {document.generation}, not {generation}"
    elif expected is not None and not detail and weights != expected:
        detail = f"{document.where}: carries generation {generation} with other weights"
    return ProxyState(
        proxy=document.where, ok=not detail, generation=document.generation, weights=weights, detail=detail
    )
