"""What HAProxy does beyond the contract: its map, its socket, a restart, somebody's hands on the runtime API."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from activities.routers.haproxy import HAProxyRouter
from activities.routers.haproxy_map import HAProxyMap, entries
from activities.routers.haproxy_socket import NotWhole, Refused, StatsSocket
from activities.routers.splits import Silent
from activities.routers.weights import weight_units
from coalmine.errors import RouteRejected, RouterUnreachable, StaleGeneration
from coalmine.local.haproxy import HAProxy
from coalmine.spec.canary import Route
from coalmine.testing.router_contract import CANARY, STABLE, live
from tests.routers.haproxy_world import BACKENDS, FIRST, HAProxyWorld, haproxy_route

HALF = {STABLE: 50.0, CANARY: 50.0}
FIRST_WEIGHTS = {STABLE: 100.0, CANARY: 0.0}


def test_a_map_deals_every_number_once_and_keeps_its_comments() -> None:
    document = HAProxyMap("/maps/shop.map", FIRST, "shop")
    assert document.reading().version.generation == 0
    document.set_weights(weight_units({STABLE: 99.93, CANARY: 0.07}))
    document.stamp(12)
    lines = document.render().splitlines()
    assert lines[:-1] == ["# The shop's way in.", "", "0:9992 stable", "9993:9999 canary"]
    assert lines[-1].startswith("10000 12:")
    again = HAProxyMap("/maps/shop.map", document.render(), "shop").reading()
    assert (again.version.generation, again.splits[0].live) == (12, {STABLE: 99.93, CANARY: 0.07})


def test_order_stays_so_that_users_dealt_by_a_hash_stay() -> None:
    document = HAProxyMap("/maps/shop.map", "0:8999 stable\n9000:9999 canary\n", "shop")
    document.set_weights(weight_units({CANARY: 25, STABLE: 75}))
    assert entries(document.reading()) == ["0:7499 stable", "7500:9999 canary"]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "begin with 0:9999"),
        ("0:4999 stable\n", "each stand in it once"),
        ("0:9999 stable\n5000:5001 canary\n", "each stand in it once"),
        ("0:9998 stable\n", "each stand in it once"),
        ("/shop stable\n", "is no entry of a route's map"),
    ],
)
def test_a_map_that_is_not_a_routes_is_refused_with_the_mend(text: str, word: str) -> None:
    with pytest.raises(RouteRejected, match=rf"/maps/shop\.map: .*{word}"):
        HAProxyMap("/maps/shop.map", text, "shop")


def test_a_backend_that_haproxy_could_not_name_is_refused() -> None:
    document = HAProxyMap("/maps/shop.map", FIRST, "shop")
    with pytest.raises(RouteRejected, match="cannot be the name"):
        document.set_weights({"stable\n0:9999 evil": 10_000})


async def test_hands_on_the_runtime_api_show_as_drift_and_are_written_over(haproxies: HAProxyWorld) -> None:
    router = haproxies.workers[0]
    await router.apply(haproxies.route, FIRST_WEIGHTS, 3)
    await haproxies.meddle(HALF)
    state = await router.read(haproxies.route, [STABLE, CANARY])
    assert live(state.weights) == HALF
    assert [proxy.ok for proxy in state.proxies] == [False, False]
    assert (await router.confirm(haproxies.route, 3)).answer == "no"
    await router.apply(haproxies.route, FIRST_WEIGHTS, 3)
    assert (await router.confirm(haproxies.route, 3)).answer == "yes"


@pytest.mark.parametrize(
    "command",
    ["del map {path} 0:4999", "clear map {path}", "add map {path} 5:6 canary", "add map {path} 20000 canary"],
)
async def test_a_map_that_hands_left_broken_is_named_and_written_over_whole(
    haproxies: HAProxyWorld, command: str
) -> None:
    router, path = haproxies.workers[0], str(haproxies.files[0])
    await router.apply(haproxies.route, HALF, 1)
    for socket in haproxies.proxies:
        assert not (await asyncio.to_thread(StatsSocket(socket)._ask, command.format(path=path))).strip()
    with pytest.raises(RouterUnreachable, match="somebody has changed its map in the process"):
        await router.read(haproxies.route, [STABLE, CANARY])
    checks = await router.check(haproxies.route, [STABLE, CANARY], [10])
    wrong = [check.reason for check in checks if not check.ok]
    assert [reason.partition(": ")[0] for reason in wrong] == list(haproxies.proxies)
    assert all("somebody has changed its map in the process" in reason for reason in wrong)
    await router.apply(haproxies.route, FIRST_WEIGHTS, 2, restoring=True)
    assert (await router.confirm(haproxies.route, 2)).answer == "yes"
    assert live((await router.read(haproxies.route, [STABLE, CANARY])).weights) == live(FIRST_WEIGHTS)


async def test_a_map_that_hands_left_broken_is_put_right_by_a_repeat_and_by_nothing_older(
    haproxies: HAProxyWorld,
) -> None:
    router, path = haproxies.workers[0], str(haproxies.files[0])
    await router.apply(haproxies.route, HALF, 7)
    for socket in haproxies.proxies:
        await asyncio.to_thread(StatsSocket(socket)._ask, f"clear map {path}")
    with pytest.raises(StaleGeneration, match="7"):
        await router.apply(haproxies.route, FIRST_WEIGHTS, 6)
    await router.apply(haproxies.route, HALF, 7)
    assert (await router.confirm(haproxies.route, 7)).answer == "yes"


async def test_the_socket_keeps_an_older_map_out_of_a_process_that_has_a_newer_one(haproxies: HAProxyWorld) -> None:
    path = str(haproxies.files[0])
    stats = StatsSocket(haproxies.proxies[0])
    document = HAProxyMap(path, FIRST, "shop")
    for generation, weights in ((5, HALF), (3, FIRST_WEIGHTS)):
        document.set_weights(weight_units(weights))
        document.stamp(generation)
        if generation == 5:
            await asyncio.to_thread(stats.replace, path, entries(document.reading()), 5)
    with pytest.raises(Refused, match="newer generation 5"):
        await asyncio.to_thread(stats.replace, path, entries(document.reading()), 3)
    shown = await asyncio.to_thread(stats.shown, path)
    assert (shown.generation, shown.splits[0].live) == (5, HALF)


async def test_a_map_that_is_not_whole_keeps_the_fence_that_stands_in_it(haproxies: HAProxyWorld) -> None:
    path, socket = str(haproxies.files[0]), haproxies.proxies[0]
    await haproxies.workers[0].apply(haproxies.route, HALF, 9)
    stats = StatsSocket(socket)
    await asyncio.to_thread(stats._ask, f"add map {path} 20000 canary")
    with pytest.raises(Refused, match="newer generation 9"):
        await asyncio.to_thread(stats.replace, path, ["0:9999 stable"], 5)
    await asyncio.to_thread(stats.replace, path, entries(HAProxyMap(path, FIRST, "shop").reading()), 10)
    assert (await asyncio.to_thread(stats.shown, path)).splits[0].live == {STABLE: 100.0}


async def test_a_connection_that_is_closed_says_nothing_of_the_map() -> None:
    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.close()

    server = await asyncio.start_server(close, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Silent, match="closed") as silent:
            await asyncio.to_thread(StatsSocket(f"127.0.0.1:{port}").shown, "/shop.map")
    assert not isinstance(silent.value, NotWhole)


async def test_a_file_that_was_put_back_does_not_let_an_older_write_through(haproxies: HAProxyWorld) -> None:
    await haproxies.workers[0].apply(haproxies.route, HALF, 9)
    haproxies.files[0].write_text(FIRST)
    with pytest.raises(StaleGeneration, match="9"):
        await haproxies.workers[1].apply(haproxies.route, FIRST_WEIGHTS, 5)
    assert haproxies.files[0].read_text() == FIRST


async def test_a_version_that_was_prepared_before_another_was_committed_is_void(haproxies: HAProxyWorld) -> None:
    socket, path = haproxies.proxies[0], str(haproxies.files[0])
    slow, quick = StatsSocket(socket), StatsSocket(socket)
    reading = HAProxyMap(path, FIRST, "shop").reading()
    ask = slow._ask

    def overtaken(command: str) -> str:
        if command.startswith("add"):
            quick.replace(path, ["0:9999 canary", "10000 2:abc:coalmine"], 2)
        return ask(command)

    slow._ask = overtaken  # type: ignore[method-assign]
    with pytest.raises(Refused, match="out of range"):
        await asyncio.to_thread(slow.replace, path, entries(reading), 1)
    assert (await asyncio.to_thread(quick.shown, path)).generation == 2


async def test_a_unix_socket_and_servers_that_haproxy_checks_itself(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("h")
    path = folder / "shop.map"
    path.write_text(FIRST)
    async with HAProxy(folder / "a", {"shop": path}, BACKENDS, socket=folder / "s", check=True) as proxy:
        while (await asyncio.to_thread(StatsSocket(proxy.socket).servers))[CANARY].healthy:
            await asyncio.sleep(0.01)
        with pytest.raises(RouteRejected, match="'canary' has no healthy endpoint"):
            await HAProxyRouter().apply(haproxy_route("shop", [path], [proxy.socket]), HALF, 1)


async def test_a_proxy_that_loads_another_file_fails_the_check(haproxies: HAProxyWorld) -> None:
    other = haproxies.files[0].parent.parent / "shop.map"
    other.write_text(FIRST)
    route = haproxy_route("shop", [other], haproxies.proxies)
    checks = await haproxies.workers[0].check(route, [STABLE, CANARY], [10])
    assert ["loads none of route.files" in check.reason for check in checks if not check.ok] == [True, True]


async def test_a_port_that_is_no_stats_socket_is_named(haproxies: HAProxyWorld, tmp_path: Path) -> None:
    proxy = haproxies.running[haproxies.proxies[0]]
    route = haproxy_route("shop", haproxies.files, [proxy.url("shop").removeprefix("http://")])
    checks = await haproxies.workers[0].check(route, [STABLE, CANARY], [10])
    reasons = [check.reason for check in checks if not check.ok]
    assert len(reasons) == 1
    assert "stats socket" in reasons[0]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"sockets": ["/run/a.sock"]}, r"route\.files"),
        ({"files": ["maps/shop.map"], "sockets": ["/run/a.sock"]}, r"route\.files\.0.*whole path"),
        ({"files": ["/maps/shop.map"], "sockets": ["admin.sock"]}, r"route\.sockets\.0.*HOST:PORT"),
        ({"files": ["/maps/shop.map"], "sockets": ["/run/a.sock"], "server": "x"}, r"route\.server"),
    ],
)
async def test_wrong_keys_of_the_route_are_named(options: dict[str, object], word: str) -> None:
    with pytest.raises(RouteRejected, match=word):
        await HAProxyRouter().read(Route.model_validate({"router": "haproxy", "name": "shop", **options}))
