"""A control plane over real gRPC and HTTP, and proxies that say what a test wants."""

from __future__ import annotations

import asyncio
import errno
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
import trustme

from activities.routers import route_files
from activities.routers.locked_files import replace
from activities.routers.xds_answers import Wanted
from activities.routers.xds_control import Control
from coalmine.errors import InputError, RouteRejected, RouterUnreachable, StaleGeneration
from coalmine.local.envoy import route_response
from coalmine.xds.control_plane import ControlPlane
from coalmine.xds.listening import Address, Security
from coalmine.xds.remembered import FILE
from tests.routers.xds_world import until, xds_plane
from tests.xds.ads_client import AdsProxy

HALF = {"stable": 50.0, "canary": 50.0}
CLUSTERS = "type.googleapis.com/envoy.config.cluster.v3.Cluster"


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[ControlPlane]:
    async with xds_plane(tmp_path / "routes", forget=60.0) as plane:
        yield plane


def writing(plane: ControlPlane, generation: int, weights: dict[str, float] = HALF) -> asyncio.Task[Any]:
    return asyncio.create_task(plane.write("shop", Wanted(weights=weights, generation=generation)))


async def taken(proxy: AdsProxy) -> str:
    """The version of the next answer, which it acknowledges."""
    response = await proxy.hear()
    await proxy.take(response)
    return str(response.version_info)


async def test_a_write_is_answered_when_every_proxy_has(plane: ControlPlane) -> None:
    async with AdsProxy(plane.address, "edge-1") as first, AdsProxy(plane.address, "edge-2") as second:
        for proxy in (first, second):
            await proxy.ask("shop")
            assert await taken(proxy) == "0"
        write = writing(plane, 1)
        assert (await taken(first)).startswith("1:")
        response = await second.hear()
        assert not write.done()
        await second.take(response)
        told = {one.node: one.version for one in (await write).proxies}
        assert told == {"edge-1": response.version_info, "edge-2": response.version_info}


async def test_a_refusal_is_put_back_everywhere_and_told_in_the_proxys_words(plane: ControlPlane) -> None:
    async with AdsProxy(plane.address, "edge-1") as first, AdsProxy(plane.address, "edge-2") as second:
        for proxy in (first, second):
            await proxy.ask("shop")
            await taken(proxy)
        write = writing(plane, 4)
        await taken(first)
        await second.refuse(await second.hear(), "unknown weighted cluster 'canary'")
        back = {await taken(first), await taken(second)}
        assert len(back) == 1
        with pytest.raises(RouteRejected, match=r"edge-2: Envoy refused the route: unknown weighted cluster 'canary'"):
            await write
    answer = await plane.read("shop")
    assert {answer.route.version.text} == back
    assert answer.route.version.generation == 4
    assert answer.route.splits[-1].live == {"stable": 100.0}
    with pytest.raises(StaleGeneration):
        await writing(plane, 3)


async def test_a_proxy_that_says_nothing_is_not_waited_for_long(plane: ControlPlane) -> None:
    async with AdsProxy(plane.address, "edge-1") as proxy:
        await proxy.ask("shop")
        await taken(proxy)
        (answer,) = (await writing(plane, 1)).proxies
        assert (answer.version, answer.refused) == ("0", "")


async def test_a_proxy_that_goes_is_not_waited_for_and_told_of(plane: ControlPlane) -> None:
    async with AdsProxy(plane.address, "edge-1") as proxy:
        await proxy.ask("shop")
        await taken(proxy)
        write = writing(plane, 1)
        await proxy.hear()
    (answer,) = (await write).proxies
    assert (answer.node, answer.connections, answer.asks) == ("edge-1", 0, True)
    assert answer.lost_for > 0


async def test_a_lost_proxy_is_forgotten_in_time(tmp_path: Path) -> None:
    async with xds_plane(tmp_path / "routes", forget=0.0) as plane:
        async with AdsProxy(plane.address, "edge-1") as proxy:
            await proxy.ask("shop")
            await taken(proxy)
        await until(lambda: not plane.connections())
        assert (await plane.read("shop")).proxies == []


async def test_of_two_that_call_themselves_alike_the_one_behind_is_told(plane: ControlPlane) -> None:
    async with AdsProxy(plane.address, "edge") as first, AdsProxy(plane.address, "edge") as second:
        for proxy in (first, second):
            await proxy.ask("shop")
            await taken(proxy)
        write = writing(plane, 1)
        await taken(first)
        (answer,) = (await write).proxies
        assert (answer.connections, answer.version) == (2, "0")


async def test_what_is_not_served_here_is_left_to_the_proxy(plane: ControlPlane) -> None:
    async with AdsProxy(plane.address, "edge-1") as proxy:
        await proxy.ask(type_url=CLUSTERS)
        await proxy.ask("shop")
        assert (await proxy.hear()).version_info == "0"
        (told,) = plane.connections()
        assert told["not_served_here"] == [CLUSTERS]


async def test_a_route_that_comes_later_is_sent_to_who_asked(plane: ControlPlane) -> None:
    async with AdsProxy(plane.address, "edge-1") as proxy:
        await proxy.ask("late")
        text = (plane.folder / "store.json").read_text()
        (plane.folder / "late.json").write_text(text.replace('"store"', '"late"'))
        response = await proxy.hear()
        assert b"late" in response.resources[0].value


async def test_a_proxy_without_a_name_is_turned_away(plane: ControlPlane) -> None:
    async with AdsProxy(plane.address, "") as proxy:
        await proxy.ask("shop")
        with pytest.raises(grpc.aio.AioRpcError, match=r"node\.id is missing"):
            await proxy.hear()


async def test_the_admin_wants_its_token(tmp_path: Path) -> None:
    security = Security(token="correct horse")
    async with xds_plane(tmp_path / "routes", security=security) as plane, aiohttp.ClientSession() as session:
        for headers, status in (
            ({}, 401),
            ({"Authorization": "Bearer wrong"}, 401),
            ({"Authorization": "Bearer correct horse"}, 200),
        ):
            for path in ("routes", "routes/shop", "proxies"):
                async with session.get(f"{plane.admin_url}/{path}", headers=headers) as answer:
                    assert answer.status == status, path
        async with session.get(f"{plane.admin_url}/healthz") as answer:
            assert await answer.json() == {"routes": 2, "proxies": 0, "trouble": 0}


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"weights": HALF}, 422, "generation: Field required"),
        ({"weights": HALF, "generation": 0}, 422, "count from 1"),
        ({"weights": {"stable": 50}, "generation": 1}, 422, "sum to 50"),
        ({"weights": HALF, "generation": 1, "colour": "red"}, 422, "colour"),
        ({"weights": {"ghost": 100}, "generation": 1}, 422, "ghost"),
    ],
)
async def test_what_cannot_be_written_is_named(
    plane: ControlPlane, body: dict[str, Any], status: int, told: str
) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.put(f"{plane.admin_url}/routes/shop", json=body) as answer,
    ):
        assert answer.status == status
        assert told in (await answer.json())["reason"]


async def test_only_proxies_of_the_authority_are_let_in(tmp_path: Path) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    server, ours, theirs = (one.issue_cert("127.0.0.1") for one in (authority, authority, stranger))
    server.private_key_pem.write_to_path(tmp_path / "key.pem")
    server.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    root = (tmp_path / "ca.pem").read_bytes()
    security = Security(tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "ca.pem")

    def shows(cert: trustme.LeafCert) -> Any:
        return grpc.ssl_channel_credentials(root, cert.private_key_pem.bytes(), cert.cert_chain_pems[0].bytes())

    async with xds_plane(tmp_path / "routes", security=security) as plane:
        async with AdsProxy(plane.address, "edge-1", shows(ours)) as proxy:
            await proxy.ask("shop")
            assert await taken(proxy) == "0"
        async with AdsProxy(plane.address, "edge-2", shows(theirs)) as proxy:
            with pytest.raises(grpc.aio.AioRpcError):
                await proxy.ask("shop")
        assert plane.admin_url.startswith("https://")
        context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{plane.admin_url}/routes", ssl=context) as answer,
        ):
            assert answer.status == 200


async def test_a_port_that_is_taken_is_named(plane: ControlPlane, tmp_path: Path) -> None:
    host, _, port = plane.address.rpartition(":")
    with pytest.raises(InputError, match=f"--listen: {plane.address} cannot be listened on"):
        async with ControlPlane(tmp_path, listen=Address(host, int(port))):
            pass
    port = plane.admin_url.rpartition(":")[2]
    with pytest.raises(InputError, match=f"--admin: 127.0.0.1:{port} cannot be listened on"):
        async with ControlPlane(tmp_path, admin=Address(host, int(port))):
            pass


async def test_after_a_restart_those_that_were_there_are_still_waited_for(tmp_path: Path) -> None:
    async with (
        xds_plane(tmp_path / "routes") as before,
        AdsProxy(before.address, "edge-1") as first,
        AdsProxy(before.address, "edge-2") as second,
    ):
        for proxy in (first, second):
            await proxy.ask("shop")
            await taken(proxy)
    async with ControlPlane(tmp_path / "routes") as anew, AdsProxy(anew.address, "edge-1") as first:
        await first.ask("shop")
        await taken(first)
        await until(lambda: anew.connections()[0]["has"])
        told = {one.node: one.connections for one in (await anew.read("shop")).proxies}
        assert told == {"edge-1": 1, "edge-2": 0}
    async with ControlPlane(tmp_path / "routes", forget=0.0) as later:
        assert (await later.read("shop")).proxies == []


async def test_what_cannot_be_remembered_keeps_nobody_from_starting(tmp_path: Path) -> None:
    (tmp_path / "routes").mkdir()
    (tmp_path / "routes" / FILE).write_text("[")
    async with xds_plane(tmp_path / "routes") as plane:
        assert (await plane.read("shop")).proxies == []


async def test_what_is_in_the_file_is_sent_also_when_the_disk_complains_of_it(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    def complaining(path: Path, text: str) -> None:
        replace(path, text)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(route_files, "replace", complaining)
    async with AdsProxy(plane.address, "edge-1") as proxy:
        await proxy.ask("shop")
        await taken(proxy)
        with pytest.raises(RouterUnreachable, match="Input/output error"):
            await writing(plane, 3)
        assert (await taken(proxy)).startswith("3:")
        (answer,) = (await writing(plane, 3)).proxies
        assert str(answer.version).startswith("3:")


async def test_a_route_may_have_any_name(plane: ControlPlane) -> None:
    name = "shop/eu: west & co?#%"
    text = json.dumps(route_response(name, {"stable": 1, "canary": 0}))
    (plane.folder / "west.json").write_text(text)
    await until(lambda: name in plane.routes()["routes"])
    async with Control(plane.admin_url, None) as control:
        assert (await control.read(name)).route.version.text == "0"
        await control.rehearse(name, Wanted(weights=HALF, generation=1))
        assert (await control.write(name, Wanted(weights=HALF, generation=1))).route.version.generation == 1
