"""The router ``envoy-xds`` on real Envoys whose admin interfaces nobody names: what they say by gRPC alone."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from activities.routers.envoy_xds import EnvoyXdsRouter
from activities.routers.registry import Routers
from coalmine.errors import RouteRejected, RouterUnreachable
from coalmine.local.envoy import EnvoyProxy, fixed_response
from coalmine.spec.canary import Route
from coalmine.testing.router_contract import CANARY, STABLE, UNKNOWN
from coalmine.xds.control_plane import ControlPlane
from coalmine.xds.listening import Security
from tests.routers.envoy_world import CLUSTERS, SECOND
from tests.routers.xds_world import until, xds_envoys, xds_plane, xds_route

HALF = {STABLE: 50.0, CANARY: 50.0}
ARMS = list(HALF)


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[ControlPlane]:
    async with xds_plane(tmp_path / "routes") as plane:
        yield plane


def reasons(checks: Any) -> str:
    return "; ".join(check.reason for check in checks if not check.ok)


async def ready(plane: ControlPlane, envoys: Mapping[str, EnvoyProxy]) -> None:
    await until(lambda: sum("shop" in one["has"] for one in plane.connections()) == len(envoys))


async def test_envoys_own_words_are_the_error_and_the_route_is_back(tmp_path: Path, plane: ControlPlane) -> None:
    lacking = {name: endpoints for name, endpoints in CLUSTERS.items() if name != CANARY}
    async with xds_envoys(tmp_path, plane, ["edge-1"]) as sound, xds_envoys(tmp_path, plane, ["edge-2"], lacking):
        await ready(plane, {"edge-1": sound["edge-1"], "edge-2": sound["edge-1"]})
        router, route = EnvoyXdsRouter(), xds_route(plane.admin_url, at_least=2)
        assert not reasons(await router.check(route, ARMS, [10]))
        with pytest.raises(RouteRejected, match=r"edge-2: Envoy refused the route: .*unknown.*'canary'") as refused:
            await router.apply(route, HALF, 3)
        assert not refused.value.retryable
        assert "as it was before, under generation 3" in str(refused.value)
        answer = await router.confirm(route, 3, ARMS)
        assert answer.answer == "yes", answer.reason
        assert [proxy.weights for proxy in answer.proxies] == [{STABLE: 100.0, CANARY: 0.0}] * 2


async def test_who_is_right_already_is_told_apart_from_who_is_not(tmp_path: Path, plane: ControlPlane) -> None:
    async with xds_envoys(tmp_path, plane, ["edge-1"]) as envoys:
        await ready(plane, envoys)
        router = EnvoyXdsRouter()
        route = xds_route(plane.admin_url, proxies=[{"node": "edge-1"}, {"node": "edge-9"}])
        written = await router.apply(route, HALF, 1)
        assert {proxy.proxy: proxy.ok for proxy in written.proxies} == {"edge-1": True, "edge-9": False}
        answer = await router.confirm(route, 1, ARMS)
        assert answer.answer == "no"
        assert answer.reason == "edge-9: is not connected to the control plane"
        assert {proxy.proxy: proxy.ok for proxy in answer.proxies} == {"edge-1": True, "edge-9": False}
        assert "edge-9: is not connected" in reasons(await router.check(route, ARMS, [10]))
        with pytest.raises(RouterUnreachable, match="edge-9"):
            await router.read(route)


async def test_a_fleet_without_names_is_all_that_ask_and_no_fewer_than_the_spec_says(
    tmp_path: Path, plane: ControlPlane
) -> None:
    router, route = EnvoyXdsRouter(), xds_route(plane.admin_url, at_least=2)
    async with xds_envoys(tmp_path, plane, ["edge-1", "edge-2"]) as envoys:
        await ready(plane, envoys)
        await router.apply(route, HALF, 1)
        assert (await router.confirm(route, 1, ARMS)).answer == "yes"
        assert [proxy.proxy for proxy in (await router.read(route, ARMS)).proxies] == ["edge-1", "edge-2"]
        await envoys["edge-2"].stop()
        await until(lambda: len(plane.connections()) == 1)
        answer = await router.confirm(route, 1, ARMS)
        assert "edge-2: lost its connection to the control plane" in answer.reason
        assert "fleet: 1 proxies ask the control plane for route 'shop', route.at_least says 2" in answer.reason
        # The rollback of the others waits for nobody.
        written = await router.apply(route, {STABLE: 100.0}, 2, restoring=True)
        assert [proxy.proxy for proxy in written.proxies if proxy.ok] == ["edge-1"]
        assert UNKNOWN not in reasons(await router.check(route, [STABLE, UNKNOWN], [10]))


async def test_a_proxy_that_asks_for_another_route_is_named(tmp_path: Path, plane: ControlPlane) -> None:
    envoy = EnvoyProxy(tmp_path / "edge-1", None, CLUSTERS, route_name=SECOND, control_plane=plane.address)
    async with envoy:
        route = xds_route(plane.admin_url, proxies=[{"node": "edge-1"}])
        told = reasons(await EnvoyXdsRouter().check(route, ARMS, [10]))
        assert "edge-1: does not ask for route 'shop': its rds must name it, by ads" in told
        assert "fleet: 0 proxies" in told


async def test_when_the_control_plane_is_gone_proxies_go_on_and_the_worker_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "routes"
    router = EnvoyXdsRouter()
    arms = {name: await _answering(tmp_path, name, status) for name, status in ((STABLE, 200), (CANARY, 201))}
    clusters = CLUSTERS | {name: [proxy.listener_url.removeprefix("http://")] for name, proxy in arms.items()}
    try:
        running = AsyncExitStack()
        plane = await running.enter_async_context(xds_plane(folder))
        async with running, xds_envoys(tmp_path, plane, ["edge-1"], clusters) as envoys:
            route = xds_route(plane.admin_url)
            await ready(plane, envoys)
            await router.apply(route, {STABLE: 0.0, CANARY: 100.0}, 5)
            assert (await router.confirm(route, 5, ARMS)).answer == "yes"
            await running.aclose()
            for _ in range(20):
                assert await _status(envoys["edge-1"].listener_url) == 201
            with pytest.raises(RouterUnreachable, match=route.options["control"]) as gone:
                await router.apply(route, {STABLE: 100.0}, 6, restoring=True)
            assert gone.value.retryable
            with pytest.raises(RouterUnreachable):
                await router.read(route)
            assert route.options["control"] in (await router.confirm(route, 5, ARMS)).reason
            assert route.options["control"] in reasons(await router.check(route, ARMS, [10]))
            assert await _status(envoys["edge-1"].listener_url) == 201
    finally:
        for proxy in arms.values():
            await proxy.stop()


async def test_the_token_is_sent_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with xds_plane(tmp_path / "routes", security=Security(token="correct horse")) as plane:
        route = xds_route(plane.admin_url, token="${COALMINE_SECRET_XDS}")
        router = EnvoyXdsRouter()
        with pytest.raises(RouterUnreachable, match="COALMINE_SECRET_XDS is not set"):
            await router.apply(route, HALF, 1)
        monkeypatch.setenv("COALMINE_SECRET_XDS", "wrong horse")
        with pytest.raises(RouterUnreachable, match="does not take our token"):
            await router.apply(route, HALF, 1)
        monkeypatch.setenv("COALMINE_SECRET_XDS", "correct horse")
        assert (await router.apply(route, HALF, 1)).generation == 1


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"control": "edge:8019"}, r"route\.control: .*is not a URL"),
        ({"control": "http://x?y=1"}, r"route\.control: .*query"),
        ({"token": "s3cret-in-the-open"}, r"route\.token: .*must not be written out"),
        ({"token": "${PASSWORD}"}, r"route\.token: .*not filled in"),
        ({"at_least": 0}, r"route\.at_least: "),
        ({"proxies": [{"node": ""}]}, r"route\.proxies\.0\.node"),
        ({"proxies": [{"node": "a"}, {"node": "a"}]}, r"route\.proxies: .*listed twice"),
        ({"proxies": [{"node": "a", "admin": "a:9901"}]}, r"route\.proxies\.0\.admin: .*is not a URL"),
        ({"files": ["/etc/envoy/shop.yaml"]}, r"route\.files"),
        ({"sticky": {}}, r"route\.sticky: .*header or a cookie"),
    ],
)
async def test_a_wrong_key_is_named(keys: dict[str, Any], told: str) -> None:
    route = Route.model_validate({"router": "envoy-xds", "name": "shop", "control": "http://127.0.0.1:9", **keys})
    with pytest.raises(RouteRejected, match=told) as refused:
        await EnvoyXdsRouter().capabilities(route)
    assert "s3cret" not in str(refused.value)


async def test_what_is_no_control_plane_is_named_with_the_key(tmp_path: Path) -> None:
    envoy = EnvoyProxy(tmp_path / "edge", _fixed(tmp_path, "shop", 200), {})
    async with envoy:
        for address in (envoy.admin_url, envoy.listener_url):
            with pytest.raises(RouterUnreachable, match=f"{address}: .*control"):
                await EnvoyXdsRouter().read(xds_route(address))


def test_a_worker_needs_no_grpc_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "grpc", None)
    for module in [name for name in sys.modules if name.startswith("activities.routers.")]:
        monkeypatch.delitem(sys.modules, module)
    assert Routers()["envoy-xds"].able.confirm


def _fixed(folder: Path, name: str, status: int) -> Path:
    path = folder / f"{name}-fixed.json"
    path.write_text(json.dumps(fixed_response(name, name, status)))
    return path


async def _answering(folder: Path, name: str, status: int) -> EnvoyProxy:
    proxy = EnvoyProxy(folder / f"backend-{name}", _fixed(folder, name, status), {}, route_name=name)
    await proxy.start()
    return proxy


async def _status(url: str) -> int:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status
