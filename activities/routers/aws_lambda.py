"""AWS Lambda: the versions an alias is divided between, by ``update_alias``.

Everything is in one object with a token of its own: weights and generation change together or not at all, and a write
names the RevisionId it was based on. So the fence is strict. The generation stands at the end of the alias'
description, behind the weights it stands for.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from activities.aws_services import AwsPlace, AwsRefused, AwsServices, AwsSilent, shared_services, telling
from activities.routers.aws_place import aws_place
from activities.routers.lambda_alias import Alias, alias_of, is_written, written
from activities.routers.options import options_of
from activities.routers.preflight import no_dry_run
from activities.routers.weights import percents, weight_units, weights_check
from coalmine.errors import RouteRejected, RouterUnreachable
from coalmine.records import Capabilities, Check, Confirmation, ProxyState, RouteState, Weights
from coalmine.spec.aws_routes import LambdaRoute, is_lambda_version
from coalmine.spec.canary import Route

TRIES = 30
"""Of one write, while others keep changing the alias."""


class LambdaRouter:
    """Aliases of Lambda functions."""

    able = Capabilities(
        fencing="strict",
        granularity=0.01,
        confirm=True,
        tested_against="moto 5.2 over HTTP, with a layer that keeps revisions; never AWS",
    )

    def __init__(self, services: AwsServices | None = None) -> None:
        self._services = services or shared_services()

    async def capabilities(self, route: Route) -> Capabilities:
        """Strict fence, steps of 0.01 %."""
        options_of(route, LambdaRoute)
        return self.able

    async def check(self, route: Route, backends: Sequence[str], weights: Sequence[float]) -> list[Check]:
        """One check for the weights, one for the alias, one for each version."""
        checks = [weights_check(weights)]
        try:
            alias = await self._alias(route)
            strangers = [version for version in alias.live if version not in backends]
            told = f"{alias.name} can be read"
            if strangers:
                told = f"{alias.name} gives traffic to version {strangers[0]} too: give it to the baseline"
            checks.append(Check(ok=not strangers, name="alias", reason=told))
            written(alias, alias.live, alias.generation + 1)
            checks.append(no_dry_run(alias.name))
        except RouteRejected as error:
            return [*checks, Check(ok=False, name="alias", reason=str(error))]
        for version in backends:
            problem = await self._problem(route, version)
            checks.append(Check(ok=not problem, name="version", reason=problem or f"version {version} is ready"))
        return checks

    async def read(self, route: Route, backends: Sequence[str] = ()) -> RouteState:
        """The alias as it is."""
        alias = await self._alias(route)
        proxy = _shown(alias, backends)
        return RouteState(weights=proxy.weights, generation=alias.generation, proxies=[proxy])

    async def apply(self, route: Route, weights: Weights, generation: int, *, restoring: bool = False) -> RouteState:
        """Change the alias if it is still as it was read; where somebody was faster, read it again first."""
        wanted = {version: units for version, units in weight_units(weights).items() if units}
        if generation < 1:
            raise RouteRejected(f"generation {generation}: generations count from 1")
        if len(wanted) > 2:
            raise RouteRejected(f"an alias divides its traffic between two versions, not {len(wanted)}")
        alias = await self._alias(route)
        if not is_written(alias, wanted, generation):
            rising = [version for version in wanted if version not in alias.live]
            looked = [await self._problem(route, version, asleep=restoring) for version in rising]
            problems = [problem for problem in looked if problem]
            if problems:
                raise RouteRejected("; ".join(problems))
            try:
                await self._change(route, lambda _: wanted, wanted, generation)
            except RouteRejected as error:
                # The fence goes up all the same: what was refused must not be followed by something older.
                await self._change(route, lambda now: now.live, None, generation)
                raise RouteRejected(f"{error}. The weights are as before, under generation {generation}") from error
        return await self.read(route, list(weights))

    async def confirm(self, route: Route, generation: int, backends: Sequence[str] = ()) -> Confirmation:
        """Whether the alias carries the generation and its weights.

        Lambda takes a change within seconds, and shows no more of it.
        """
        try:
            alias = await self._alias(route)
        except RouterUnreachable as error:
            options = options_of(route, LambdaRoute)
            silent = ProxyState(proxy=f"{route.name}:{options.alias}", ok=False, detail=str(error))
            return Confirmation(answer="no", reason=f"{silent.proxy}: {error}", proxies=[silent])
        reason = alias.meddled
        if alias.generation != generation:
            reason = f"{alias.name}: shows generation {alias.generation}, not {generation}"
        proxy = _shown(alias, backends).model_copy(update={"ok": not reason, "detail": reason})
        return Confirmation(answer="no" if reason else "yes", reason=reason, proxies=[proxy])

    async def _change(
        self,
        route: Route,
        shares: Callable[[Alias], Mapping[str, int]],
        wanted: Mapping[str, int] | None,
        generation: int,
    ) -> None:
        for tried in range(TRIES):
            alias = await self._alias(route)
            if is_written(alias, wanted, generation):
                return
            try:
                with telling(RouteRejected, RouterUnreachable, alias.name):
                    await self._ask(route, "update_alias", **written(alias, shares(alias), generation))
                return
            except RouteRejected as error:
                if not isinstance(error.__cause__, AwsRefused) or error.__cause__.code != "PreconditionFailedException":
                    raise
            await asyncio.sleep(random.uniform(0, 0.01 * (tried + 1)))
        raise RouterUnreachable(f"{route.name}: others kept changing the alias through {TRIES} tries")

    async def _alias(self, route: Route) -> Alias:
        options = options_of(route, LambdaRoute)
        with telling(RouteRejected, RouterUnreachable, f"{route.name}:{options.alias}"):
            return alias_of(route.name, await self._ask(route, "get_alias"))

    async def _problem(self, route: Route, version: str, *, asleep: bool = False) -> str:
        """Why a version must not get traffic; empty when it may.

        Lambda lays versions to sleep that nobody calls, and wakes them at the first call: on the way back (``asleep``)
        that is better than what is rolled back.
        """
        if not is_lambda_version(version):
            return f"{route.name}: {version!r} is no published version: an alias is divided between numbers such as 42"
        place = aws_place(options_of(route, LambdaRoute))
        try:
            told = await self._services.ask(
                place, "lambda", "get_function_configuration", FunctionName=route.name, Qualifier=version
            )
        except AwsRefused as error:
            if error.code == "ResourceNotFoundException":
                return f"{route.name}: does not know version {version!r}: publish it first"
            return str(error)
        except AwsSilent as error:
            raise RouterUnreachable(str(error)) from error
        state = told.get("State", "Active")
        why = told.get("StateReason") or "AWS gives no reason"
        if state == "Active" or (asleep and state == "Inactive"):
            return ""
        return f"{route.name}: version {version} is not healthy: {state} ({why})"

    async def _ask(self, route: Route, operation: str, **arguments: Any) -> dict[str, Any]:
        options = options_of(route, LambdaRoute)
        named = {"FunctionName": route.name, "Name": options.alias, **arguments}
        place: AwsPlace = aws_place(options)
        return await self._services.ask(place, "lambda", operation, **named)


def _shown(alias: Alias, backends: Sequence[str]) -> ProxyState:
    weights: Weights = {**dict.fromkeys(backends, 0.0), **percents(alias.shares)}
    return ProxyState(proxy=alias.name, generation=alias.generation, weights=weights)
