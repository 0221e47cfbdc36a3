"""Files of Traefik's that people wrote, and servers it has found down."""

from __future__ import annotations

from mmap import mmap
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from activities.routers import route_files
from activities.routers.locked_files import replace
from activities.routers.preflight import Endpoints
from activities.routers.traefik import _servers
from activities.routers.traefik_document import TraefikDocument
from coalmine.errors import RouteRejected
from coalmine.testing.router_contract import confirmed, shown
from tests.routers.traefik_world import SHOP, traefik_world

BARE = SHOP[: SHOP.index("  middlewares:")]


@pytest.mark.parametrize("middlewares", ["", "  middlewares:\n", "  middlewares:  # none yet\n", "  middlewares: {}\n"])
def test_a_file_without_a_middleware_gets_ours(middlewares: str) -> None:
    document = TraefikDocument("shop.yml", BARE + middlewares, "shop")
    assert document.reading().version.generation == 0
    document.set_weights({"stable": 90, "canary": 10})
    document.stamp(7)
    written = TraefikDocument("shop.yml", document.render(), "shop").reading()
    assert written.version.generation == 7
    assert dict(written.splits[0].shares) == {"stable": 90, "canary": 10}


async def test_a_change_that_traefik_missed_is_told_anew_by_a_repeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with traefik_world(tmp_path, monkeypatch, files=1, shop=SHOP + "\n" * 1000) as world:
        router = world.workers[0]
        monkeypatch.setattr(router, "patience", 0.3)
        weights = {"stable": 50.0, "canary": 50.0}
        with monkeypatch.context() as patch:
            patch.setattr(route_files, "replace", unseen)
            state = await router.apply(world.route, weights, 1)
        assert [proxy.ok for proxy in state.proxies] == [False, False]
        assert (await router.confirm(world.route, 1)).answer == "no"
        await router.apply(world.route, weights, 1)
        await confirmed(world, 1)
        assert await shown(world) == weights
        # Of what every proxy shows nobody is told again.
        before = world.files[0].stat()
        await router.apply(world.route, weights, 1)
        after = world.files[0].stat()
        assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def unseen(path: Path, text: str) -> None:
    """Write a file as memory, of which inotify does not tell; its length stays."""
    with path.open("r+b") as file, mmap(file.fileno(), 0) as memory:
        memory[:] = text.rstrip().encode().ljust(len(memory), b"\n")


async def test_a_route_that_somebody_gave_to_nobody_is_named_and_restored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with traefik_world(tmp_path, monkeypatch, files=1) as world:
        router, (path,) = world.workers[0], world.files
        await router.apply(world.route, {"stable": 50.0, "canary": 50.0}, 1)
        await confirmed(world, 1)
        replace(path, path.read_text().replace("weight: 5000", "weight: 0"))
        checks = await router.check(world.route, ["stable", "canary"], [10])
        assert "all weights are zero" in "; ".join(check.reason for check in checks if not check.ok)
        with pytest.raises(RouteRejected, match="all weights are zero"):
            await router.read(world.route, ["stable", "canary"])
        await router.apply(world.route, {"stable": 100.0, "canary": 0.0}, 2, restoring=True)
        await confirmed(world, 2)
        assert await shown(world) == {"stable": 100.0}


def test_middlewares_of_the_users_stay() -> None:
    document = TraefikDocument("shop.yml", SHOP, "shop")
    document.stamp(1)
    before, after = (YAML(typ="safe").load(text)["http"]["middlewares"] for text in (SHOP, document.render()))
    assert after.pop("shop-coalmine")
    assert after == before


def test_middlewares_that_are_no_mapping_are_told() -> None:
    with pytest.raises(RouteRejected, match=r"http\.middlewares is no mapping"):
        TraefikDocument("shop.yml", BARE + "  middlewares: [gzip]\n", "shop")


def test_a_server_that_traefik_found_down_gets_nothing() -> None:
    """As ``/api/rawdata`` of Traefik 3.7 has a service with a health check."""
    urls = ["http://10.0.0.1:80", "http://10.0.0.2:80", "http://10.0.0.3:80"]
    service = {
        "loadBalancer": {"servers": [{"url": url} for url in urls], "healthCheck": {"path": "/"}},
        "status": "enabled",
        "serverStatus": {urls[0]: "UP", urls[1]: "DOWN", urls[2]: "DOWN"},
    }
    assert _servers(service) == Endpoints(3, 1)
    del service["serverStatus"]
    assert _servers(service) == Endpoints(3, 3)
