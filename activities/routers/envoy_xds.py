"""Envoys on several hosts, told by a control plane: weights are written there, and every proxy says if it took them.

The fence is compared at the control plane, one door for all workers. What is believed is what each Envoy acknowledged,
and what its admin interface shows where one is named. Measured behaviour this rests on: docs/envoy-xds.md.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from activities.routers.envoy import SETTLE, EnvoyRouter
from activities.routers.envoy_admin import EnvoyAdmin
from activities.routers.envoy_preflight import envoy_preflights
from activities.routers.envoy_routes import ENVOY
from activities.routers.envoy_users import Users
from activities.routers.options import options_of
from activities.routers.preflight import Besides, Endpoints, Preflight
from activities.routers.proxy_answers import proxy_session
from activities.routers.proxy_places import Places
from activities.routers.proxy_router import ProxyRouter
from activities.routers.proxy_states import is_of
from activities.routers.route_files import WriteResult
from activities.routers.splits import Reading, Shown, Silent, Version
from activities.routers.watching import Took, Watched
from activities.routers.weights import percents
from activities.routers.xds_answers import ProxyAnswer, RouteAnswer, Wanted
from activities.routers.xds_control import Control, users_of
from coalmine.errors import RouterError
from coalmine.spec.canary import Route
from coalmine.spec.xds_routes import EnvoyXdsRoute
from coalmine.telemetry.spans import span

FLEET = "fleet"
"""What is told in place of proxies that should be connected, and have no name."""


@dataclass(frozen=True)
class XdsPlaces(Places[EnvoyXdsRoute]):
    """The places of a route, and what the control plane said of it a moment ago."""

    answers: Mapping[str, ProxyAnswer] = field(default_factory=dict)
    readings: Mapping[str, Reading] = field(default_factory=dict)
    failed: Mapping[str, RouterError] = field(default_factory=dict)

    @property
    def admins(self) -> Mapping[str, str]:
        """Admin addresses by node, of those that have one."""
        return {proxy.node: proxy.admin for proxy in self.options.proxies if proxy.admin}


class EnvoyXdsRouter(ProxyRouter[EnvoyXdsRoute]):
    """Fencing is strict: the control plane compares the generation under the lock it writes under."""

    able = EnvoyRouter.able.model_copy(update={"tested_against": "Envoy 1.40 by gRPC ADS, real processes"})
    plane = "envoy-xds"
    place = "control plane"

    def __init__(self, settle: float = SETTLE) -> None:
        super().__init__(ENVOY)
        self.settle = settle

    def places(self, route: Route) -> Places[EnvoyXdsRoute]:
        """Its control plane, the proxies it names, and what it asks for besides weights."""
        options = options_of(route, EnvoyXdsRoute)
        users = Users(options.sticky, options.testers, options.mirror)
        besides = Besides(users.served, users.clusters)
        names = [proxy.node for proxy in options.proxies]
        return XdsPlaces(route.name, [options.control], names, options, besides=besides)

    async def located(self, route: Route) -> Places[EnvoyXdsRoute]:
        """And every other proxy that asks for the route, as the control plane knows it now."""
        places = self.places(route)
        options = places.options
        try:
            async with Control(options.control, options.token) as control:
                answer = await control.read(route.name)
        except RouterError as error:
            return replace(_known(places), failed={options.control: error})
        return _with_answer(places, answer)

    async def readings(self, places: Places[EnvoyXdsRoute]) -> tuple[dict[str, Reading], dict[str, RouterError]]:
        """What the control plane has in its file, and serves."""
        asked = _known(places)
        return dict(asked.readings), dict(asked.failed)

    async def rehearsed(
        self, places: Places[EnvoyXdsRoute], readings: Mapping[str, Reading], units: Mapping[str, int]
    ) -> Mapping[str, str]:
        """Asked of the control plane: whether the file could be changed, and would be a route."""
        if not readings:
            return {}
        options = places.options
        try:
            async with Control(options.control, options.token) as control:
                await control.rehearse(places.name, _wanted(options, units, 1))
        except RouterError as error:
            return {options.control: str(error)}
        return {}

    async def written(
        self,
        places: Places[EnvoyXdsRoute],
        units: Mapping[str, int],
        generation: int,
        preflights: Mapping[str, Preflight],
    ) -> tuple[WriteResult, Sequence[Watched]]:
        """One request: it is answered when the proxies have, and a refusal has been put back by then."""
        options = places.options
        with span("envoy-xds.write", route=places.name, generation=generation, proxies=len(places.proxies)):
            async with Control(options.control, options.token) as control:
                answer = await control.write(places.name, _wanted(options, units, generation))
        asked = _with_answer(places, answer)
        result = WriteResult(kept=list(asked.readings.values()))
        return result, [
            _watched(asked, proxy, generation) for proxy, preflight in preflights.items() if not preflight.silent
        ]

    async def preflight(self, places: Places[EnvoyXdsRoute], backends: Collection[str]) -> Mapping[str, Preflight]:
        """Clusters and endpoints, at those whose admin address is known; of the others that they are connected."""
        asked = _known(places)
        # What cannot be looked at is taken for sound: Envoy itself refuses a cluster it does not know.
        unseen = Preflight(dict.fromkeys(backends, Endpoints(1, 1)))
        absent = {proxy: _absence(asked, proxy) for proxy in asked.proxies}
        preflights = {proxy: Preflight(silent=why) if why else unseen for proxy, why in absent.items()}
        admins = {proxy: admin for proxy, admin in asked.admins.items() if not absent[proxy]}
        async with proxy_session() as session:
            seen = await envoy_preflights(EnvoyAdmin(session), list(admins.values()), asked.name, backends)
        return {**preflights, **{proxy: seen[admin] for proxy, admin in admins.items()}}

    async def shown(self, places: Places[EnvoyXdsRoute], proxy: str) -> Shown:
        """What it acknowledged; where its admin address is known, what it uses."""
        asked = _known(places)
        if absence := _absence(asked, proxy):
            raise Silent(absence)
        acknowledged = asked.answers[proxy].shown
        if proxy not in asked.admins:
            return acknowledged
        async with proxy_session() as session:
            used = await EnvoyAdmin(session).shown(asked.admins[proxy], asked.name)
        if used.version != acknowledged.version and acknowledged.generation <= used.generation:
            # It has not said so yet; or another proxy calls itself so, and is behind.
            return acknowledged
        return Shown(used.version, used.splits, refused=acknowledged.refused)

    def route_problems(
        self,
        places: Places[EnvoyXdsRoute],
        proxy: str,
        shown: Shown | None,
        preflight: Preflight,
        versions: Collection[Version],
    ) -> list[str]:
        """Whether it asks for the route, has what the control plane has, and is one."""
        answer = _known(places).answers.get(proxy)
        if shown is None or answer is None:
            return []
        problems = []
        if answer.connections > 1:
            mend = "give each a node.id of its own"
            problems.append(f"{proxy}: {answer.connections} proxies are connected that call themselves so: {mend}")
        refused = f" (it refused that one: {shown.refused})" if shown.refused else ""
        if shown.version is None:
            problems.append(f"{proxy}: has no route {places.name!r} yet{refused}")
        elif shown.version not in versions:
            problems.append(f"{proxy}: uses version {shown.version.text!r}, not what the control plane has{refused}")
        return problems


def _with_answer(places: Places[EnvoyXdsRoute], answer: RouteAnswer) -> XdsPlaces:
    named = [proxy.node for proxy in places.options.proxies]
    answers = {proxy.node: proxy for proxy in answer.proxies}
    others = sorted(node for node, proxy in answers.items() if proxy.asks and node not in named)
    there = sum(proxy.asks and proxy.connections > 0 for proxy in answers.values())
    lacking = [FLEET] if there < places.options.at_least else []
    return replace(
        _known(places),
        proxies=[*named, *others, *lacking],
        answers=answers,
        readings={answer.route.path: answer.route},
    )


def _known(places: Places[EnvoyXdsRoute]) -> XdsPlaces:
    if not isinstance(places, XdsPlaces):
        raise TypeError("places of another router")
    return places


def _absence(asked: XdsPlaces, proxy: str) -> str:
    """Why a proxy says nothing; empty when it does."""
    if asked.failed:
        return f"{proxy}: nothing is known of it ({'; '.join(map(str, asked.failed.values()))})"
    answer = asked.answers.get(proxy)
    if answer is None and proxy == FLEET:
        there = sum(one.asks and one.connections > 0 for one in asked.answers.values())
        least = asked.options.at_least
        return f"{FLEET}: {there} proxies ask the control plane for route {asked.name!r}, route.at_least says {least}"
    if answer is None:
        return f"{proxy}: is not connected to the control plane"
    if not answer.connections:
        return f"{proxy}: lost its connection to the control plane {answer.lost_for:.0f} s ago"
    if not answer.asks:
        return f"{proxy}: does not ask for route {asked.name!r}: its rds must name it, by ads"
    return ""


def _wanted(options: EnvoyXdsRoute, units: Mapping[str, int], generation: int) -> Wanted:
    return Wanted(weights=percents(units), generation=generation, **users_of(options))


def _watched(asked: XdsPlaces, proxy: str, generation: int) -> Watched:
    absence = _absence(asked, proxy)
    if absence:
        return Watched(proxy, Took.WAITING, absence)
    shown = asked.answers[proxy].shown
    if is_of(shown, asked.readings) and shown.generation == generation:
        return Watched(proxy, Took.SHOWN, shown=shown)
    if shown.generation > generation:
        return Watched(proxy, Took.OVERTAKEN, f"{proxy}: shows generation {shown.generation}")
    refused = f"; it refused the route: {shown.refused}" if shown.refused else ""
    return Watched(proxy, Took.WAITING, f"{proxy}: has not acknowledged generation {generation} yet{refused}")
