"""Testers, sticky users, copies and ejected endpoints, by requests through a real Envoy and by what it counts."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from activities.routers.envoy import EnvoyRouter
from coalmine.errors import RouteRejected
from coalmine.local.envoy import EnvoyProxy, fixed_response, route_response
from coalmine.spec.canary import Route
from coalmine.testing.router_contract import CANARY, STABLE
from tests.routers.envoy_world import envoy_route

TESTERS, SHADOW = "canary-testers", "canary-shadow"
FIRST = {STABLE: 100.0, CANARY: 0.0}
TENTH = {STABLE: 90.0, CANARY: 10.0}
USERS = 400
ASKED: dict[str, Any] = {
    "sticky": {"header": "x-user-id"},
    "testers": {
        "backend": TESTERS,
        "match": [{"header": "x-group", "values": ["beta", "staff"]}, {"cookie": "try", "values": ["yes"]}],
    },
    "mirror": {"backend": SHADOW, "percent": 50},
}


@dataclass
class Edge:
    """An Envoy before two versions; each answers with its name, and the copies' backend is a third."""

    proxy: EnvoyProxy
    router: EnvoyRouter
    file: Path

    def route(self, **asked: Any) -> Route:
        route = envoy_route([self.file], [self.proxy.admin_url])
        return Route.model_validate({**route.model_dump(), **asked})

    async def shift(self, weights: Mapping[str, float], generation: int, **asked: Any) -> None:
        await self.router.apply(self.route(**asked), dict(weights), generation)
        assert (await self.router.confirm(self.route(**asked), generation)).answer == "yes"

    async def ask(self, times: int = 1, **headers: str) -> Counter[str]:
        """Who answered."""
        found: Counter[str] = Counter()
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        async with aiohttp.ClientSession(headers=sent) as session:
            for _ in range(times):
                async with session.get(self.proxy.listener_url) as response:
                    found[await response.text()] += 1
        return found

    async def ask_as_users(self, key: str) -> dict[str, str]:
        """Who answered each user, told apart by a header or a cookie."""
        found: dict[str, str] = {}
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            for number in range(USERS):
                user = f"user-{number}"
                headers = {"cookie": f"a=b; {key}={user}"} if key == "uid" else {key: user}
                async with session.get(self.proxy.listener_url, headers=headers) as response:
                    found[user] = await response.text()
        return found

    async def completed(self) -> dict[str, int]:
        """Requests each cluster has answered, as ``upstream_rq_completed`` counts them: what the judge reads."""
        query = {"format": "json", "filter": r"^cluster\..*\.upstream_rq_completed$"}
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.proxy.admin_url}/stats", params=query) as response,
        ):
            stats = (await response.json(content_type=None)).get("stats", [])
        return {stat["name"].split(".")[1]: stat["value"] for stat in stats}


@pytest.fixture
async def edge(tmp_path: Path) -> AsyncIterator[Edge]:
    file = tmp_path / "route.json"
    file.write_text(json.dumps(route_response("shop", {STABLE: 10_000, CANARY: 0}), indent=2))
    async with AsyncExitStack() as stack:
        where: dict[str, Sequence[str]] = {}
        for name in (STABLE, CANARY, SHADOW):
            route = tmp_path / f"{name}.json"
            route.write_text(json.dumps(fixed_response(name, name)))
            backend = await stack.enter_async_context(EnvoyProxy(tmp_path / name, route, {}, route_name=name))
            where[name] = [backend.listener_url.removeprefix("http://")]
        where[TESTERS] = where[CANARY]
        proxy = await stack.enter_async_context(EnvoyProxy(tmp_path / "edge", file, where))
        yield Edge(proxy, EnvoyRouter(), file)


async def test_testers_meet_the_new_version_and_leave_it_with_the_rollback(edge: Edge) -> None:
    testers = {"testers": ASKED["testers"]}
    await edge.shift({STABLE: 99.99, CANARY: 0.01}, 1, **testers)
    assert await edge.ask(20, x_group="beta") == {CANARY: 20}
    assert await edge.ask(20, x_group="staff") == {CANARY: 20}
    assert await edge.ask(20, cookie="a=1; try=yes; b=2") == {CANARY: 20}
    for headers in ({"x_group": "beta2"}, {"x_group": "sta"}, {"cookie": "retry=yes"}, {"cookie": "try=yess"}):
        assert (await edge.ask(10, **headers))[STABLE] >= 9
    await edge.router.apply(edge.route(**testers), FIRST, 2, restoring=True)
    assert (await edge.router.confirm(edge.route(**testers), 2)).answer == "yes"
    assert await edge.ask(20, x_group="beta") == {STABLE: 20}
    assert TESTERS not in edge.file.read_text()


@pytest.mark.parametrize(("kind", "key"), [("header", "x-user-id"), ("cookie", "uid")])
async def test_users_keep_their_version_while_the_canary_grows(edge: Edge, kind: str, key: str) -> None:
    sticky = {"sticky": {kind: key}}
    had: set[str] = set()
    for generation, percent in enumerate((5, 10, 50), 1):
        await edge.shift({STABLE: 100.0 - percent, CANARY: float(percent)}, generation, **sticky)
        answers = await edge.ask_as_users(key)
        assert answers == await edge.ask_as_users(key)
        have = {user for user, arm in answers.items() if arm == CANARY}
        assert had <= have
        assert 0.5 * percent < len(have) / USERS * 100 < 2 * percent
        had = have
    await edge.shift(FIRST, 9, **sticky)
    assert set((await edge.ask_as_users(key)).values()) == {STABLE}
    assert "hash" not in edge.file.read_text()


async def test_testers_and_copies_do_not_count_as_requests_of_an_arm(edge: Edge) -> None:
    await edge.shift(TENTH, 1, **ASKED)
    users = Counter((await edge.ask_as_users("x-user-id")).values())
    assert await edge.ask(50, x_group="staff") == {CANARY: 50}
    async with asyncio.timeout(60):
        # A copy is on its way longer than the answer it is not waited for.
        while (counts := await edge.completed())[SHADOW] < USERS // 4:
            await asyncio.sleep(0.02)
    assert counts[STABLE] == users[STABLE]
    assert counts[CANARY] == users[CANARY]
    assert counts[TESTERS] == 50
    assert counts[SHADOW] < USERS
    await edge.shift(FIRST, 2, **ASKED)
    before = (await edge.completed())[SHADOW]
    await edge.ask(50)
    assert (await edge.completed())[SHADOW] == before


@pytest.mark.parametrize("key", ["testers", "mirror"])
async def test_a_backend_the_proxy_does_not_know_is_refused_before_the_write(edge: Edge, key: str) -> None:
    asked = {key: {**ASKED[key], "backend": "films"}}
    with pytest.raises(RouteRejected, match="'films'"):
        await edge.router.apply(edge.route(**asked), TENTH, 1)
    checks = await edge.router.check(edge.route(**asked), [STABLE, CANARY], [10])
    assert "'films'" in "; ".join(check.reason for check in checks if not check.ok)
    assert (await edge.router.read(edge.route(**asked), [STABLE, CANARY])).generation == 0


async def test_a_canary_whose_endpoints_were_ejected_gets_no_more_but_may_lose_all(tmp_path: Path) -> None:
    file, broken = tmp_path / "route.json", tmp_path / "broken.json"
    file.write_text(json.dumps(route_response("shop", {STABLE: 10_000, CANARY: 0})))
    broken.write_text(json.dumps(fixed_response("broken", "broken", 503)))
    ejecting = {"consecutive_5xx": 3, "max_ejection_percent": 100, "base_ejection_time": "300s", "interval": "0.05s"}
    settings = {CANARY: {"outlier_detection": ejecting, "common_lb_config": {"healthy_panic_threshold": {}}}}
    async with EnvoyProxy(tmp_path / "broken", broken, {}, route_name="broken") as backend:
        address = backend.listener_url.removeprefix("http://")
        clusters = {STABLE: [address], CANARY: [address]}
        async with EnvoyProxy(tmp_path / "edge", file, clusters, cluster_settings=settings) as proxy:
            edge = Edge(proxy, EnvoyRouter(), file)
            await edge.shift({STABLE: 50.0, CANARY: 50.0}, 1)
            await edge.ask(40)
            with pytest.raises(RouteRejected, match=r"'canary' has no healthy endpoint .*has ejected 1 of 1"):
                await edge.router.apply(edge.route(), {STABLE: 25.0, CANARY: 75.0}, 2)
            checks = await edge.router.check(edge.route(), [STABLE, CANARY], [75])
            assert "has ejected 1 of 1" in "; ".join(check.reason for check in checks if not check.ok)
            await edge.shift({STABLE: 75.0, CANARY: 25.0}, 3)
            await edge.shift(FIRST, 4)


async def test_what_an_entry_says_itself_fails_the_dry_run(edge: Edge) -> None:
    content = json.loads(edge.file.read_text())
    content["resources"][0]["virtual_hosts"][0]["routes"][0]["route"]["hash_policy"] = [
        {"header": {"header_name": "x"}}
    ]
    edge.file.write_text(json.dumps(content))
    checks = await edge.router.check(edge.route(**ASKED), [STABLE, CANARY], [10])
    assert ["hash_policy" in check.reason for check in checks if check.name == "dry run"] == [True]
    with pytest.raises(RouteRejected, match="hash_policy"):
        await edge.router.apply(edge.route(**ASKED), TENTH, 1)
