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
from activities.routers.preflight import check_of, no_dry_run
from activities.routers.proxy_states import one_of
from activities.routers.weights import weight_units, weights_check
from coalmine.errors import RouteRejected, RouterError, RouteUnconfirmed, StaleGeneration
from coalmine.records import DRY_RUN, Capabilities, Check, Confirmation, ProxyState, RouteState, Weights
from coalmine.spec.canary import Route
from coalmine.spec.flag_routes import FlagdRoute, FlagTesters

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
        """One check for the weights, two a place (one is a dry run, or says that there is none)."""
        documents, failed = await _read_all(route)
        checks = [weights_check(weights)]
        checks += [Check(ok=False, name="flag", reason=str(error)) for error in failed.values()]
        testers = options_of(route, FlagdRoute).testers
        rehearsed, _ = await _at_all(route, lambda _, there: there.unwritable())
        for place, document in documents.items():
            problems = [*map(document.problem, backends), document.testers_problem(testers, backends)]
            problems.append(document.default_problem(backends[0], backends[-1]))
            try:
                _ = document.generation
                shares = document.weights(list(backends))
                others = [f"{name} {share:g} %" for name, share in shares.items() if share and name not in backends]
                if others:
                    problems.append(f"{place}: other variants have users ({', '.join(others)}): give them the baseline")
                problems.append(document.still_pinned(shares, testers))
            except RouteRejected as error:
                problems.append(str(error))
            reason = "; ".join(filter(None, problems))
            fine = f"{place}: deals out {route.name!r}"
            if document.targets(testers):
                fine += "; its targeting has the rule of route.testers already: none is added, and yours stays"
            checks.append(Check(ok=not reason, name="flag", reason=reason or fine))
            if not reason:
                checks.append(_dry_run(place, rehearsed[place]))
        return checks

    async def read(self, route: Route, backends: Sequence[str] = ()) -> RouteState:
        """The newest definition, and what every place holds.

        So it is for a disabled flag too: what users will get again once it is enabled, not what apps use meanwhile.
        """
        documents, failed = await _read_all(route)
        for error in failed.values():
            raise error
        newest = max(documents.values(), key=lambda document: document.generation)
        weights = newest.weights(list(backends))
        testers = options_of(route, FlagdRoute).testers
        states = [_state(document, newest.generation, backends, testers, weights) for document in documents.values()]
        return RouteState(weights=weights, generation=newest.generation, proxies=states)

    async def apply(self, route: Route, weights: Weights, generation: int, *, restoring: bool = False) -> RouteState:
        """Write every place, or none when one carries a newer generation; one that fails does not keep the others.

        On the way back a disabled flag is written as well, and stays so; one that lost the testers' variant; and one
        whose shares nobody can read any more.
        """
        units, testers = weight_units(weights), options_of(route, FlagdRoute).testers
        if generation < 1:
            raise RouteRejected(f"generation {generation}: generations count from 1")
        documents, failed = await _read_all(route)
        if not documents:
            raise next(iter(failed.values()))

        def is_written(document: FlagDocument) -> bool:
            written = document.is_written(units, generation)
            problems = [document.problem(name, restoring=restoring) for name, unit in units.items() if unit]
            # The way back is absolute: it needs no sense in the shares that hands have left.
            problems.append(document.lacks_ours(units) if restoring else document.testers_problem(testers, units))
            if any(problems):
                raise RouteRejected("; ".join(filter(None, problems)))
            if not restoring:
                document.weights(list(units))
            return written

        try:
            for document in documents.values():
                is_written(document)

            def write(place: str, there: FlagPlace) -> None:
                def changed(text: str) -> str | None:
                    # Anew: hands may have changed it since, and one that could not be read then was not judged.
                    document = FlagDocument(place, text, route.name)
                    return None if is_written(document) else document.write(units, generation, testers)

                there.change(changed)

            _, wrong = await _at_all(route, write)
        except StaleGeneration as error:
            # Told here: whoever asked may have been cancelled meanwhile, and hear of it no more.
            _log.warning("write refused", error=type(error).__name__, reason=str(error))
            raise
        if wrong and len(wrong) == len(options_of(route, FlagdRoute).places):
            raise one_of(wrong)
        if wrong:
            raise RouteUnconfirmed(
                f"generation {generation} is not in every place: {'; '.join(map(str, wrong.values()))}"
            )
        places = options_of(route, FlagdRoute).places
        states = [ProxyState(proxy=place, generation=generation, weights=weights) for place in places]
        return RouteState(weights=weights, generation=generation, proxies=states)

    async def confirm(self, route: Route, generation: int, backends: Sequence[str] = ()) -> Confirmation:
        """Whether every place carries the generation, and nobody is left pinned. Which apps have read it is unknown."""
        documents, failed = await _read_all(route)
        states = []
        for place in options_of(route, FlagdRoute).places:
            if place in failed:
                states.append(ProxyState(proxy=place, ok=False, detail=str(failed[place])))
            else:
                states.append(_state(documents[place], generation, backends, options_of(route, FlagdRoute).testers))
        wrong = [state.detail for state in states if not state.ok]
        if wrong:
            return Confirmation(answer="no", reason="; ".join(wrong), proxies=states)
        asleep = [document.asleep for document in documents.values() if document.asleep]
        return Confirmation(
            answer="unsupported", reason="; ".join([UNSEEN.format(generation), *asleep]), proxies=states
        )


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


def _dry_run(place: str, unwritable: str | None) -> Check:
    if unwritable is None:
        return no_dry_run(place)
    return check_of(DRY_RUN, [unwritable] if unwritable else [], f"{place}: can be written, every step of it")


def _state(
    document: FlagDocument,
    generation: int,
    backends: Sequence[str],
    testers: FlagTesters | None,
    expected: Mapping[str, float] | None = None,
) -> ProxyState:
    """What one place holds; ``ok`` when that is ``generation``, with the weights expected and nobody left pinned."""
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
    detail = detail or document.still_pinned(weights, testers)
    return ProxyState(
        proxy=document.where, ok=not detail, generation=document.generation, weights=weights, detail=detail
    )
