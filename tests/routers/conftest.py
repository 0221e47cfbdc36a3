"""Data planes for the router tests; every process is ended with its test."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from activities.routers import proxy_answers
from coalmine.local.envoy import route_response
from coalmine.spec.canary import Route
from coalmine.testing.fake_router import FakeRouter
from coalmine.testing.router_contract import CANARY, STABLE
from tests.routers.envoy_world import ASKED, SECOND, EnvoyWorld, envoy_route, start_envoys, stop_envoys, write_routes
from tests.routers.fake_world import FakeWorld, fake_of
from tests.routers.haproxy_world import HAProxyWorld, haproxy_world
from tests.routers.nginx_world import NginxWorld, nginx_world
from tests.routers.traefik_world import TraefikWorld, traefik_world


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that shares a busy machine with everything else may take longer than one of a fleet."""
    monkeypatch.setattr(proxy_answers, "WITHIN", aiohttp.ClientTimeout(total=6.0, connect=6.0))


@pytest.fixture
def fake_world() -> FakeWorld:
    return fake_of(FakeRouter)


@pytest.fixture
async def one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EnvoyWorld]:
    """Three Envoys that watch one JSON file."""
    async with envoy_world(tmp_path, monkeypatch, ["route.json"]) as world:
        yield world


@pytest.fixture
async def three_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EnvoyWorld]:
    """Three Envoys with a file each, two of them YAML."""
    async with envoy_world(tmp_path, monkeypatch, ["a.yaml", "b.json", "c.yaml"]) as world:
        yield world


@pytest.fixture
async def asking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EnvoyWorld]:
    """Two Envoys with a file each, for a route that asks for all there is besides weights."""
    async with envoy_world(tmp_path, monkeypatch, ["a.yaml", "b.json"], proxies=2) as world:
        world.route = Route.model_validate({**world.route.model_dump(), **ASKED})
        yield world


@asynccontextmanager
async def envoy_world(
    folder: Path, patch: pytest.MonkeyPatch, names: Sequence[str], proxies: int = 3
) -> AsyncIterator[EnvoyWorld]:
    files = write_routes(folder, names)
    second = folder / "second.json"
    second.write_text(json.dumps(route_response(SECOND, {STABLE: 10_000, CANARY: 0}), indent=2))
    envoys = await start_envoys(folder, files, proxies, further={SECOND: second})
    try:
        yield EnvoyWorld(envoy_route(files, list(envoys)), files, envoys, patch, second)
    finally:
        await stop_envoys(list(envoys.values()))


@pytest.fixture
async def haproxies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HAProxyWorld]:
    """Two HAProxies that load one map file."""
    async with haproxy_world(tmp_path, monkeypatch, files=1) as world:
        yield world


@pytest.fixture
async def haproxies_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HAProxyWorld]:
    """Two HAProxies with a map file each."""
    async with haproxy_world(tmp_path, monkeypatch, files=2) as world:
        yield world


@pytest.fixture
async def nginxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[NginxWorld]:
    """Two nginxes that include one file."""
    async with nginx_world(tmp_path, monkeypatch, files=1) as world:
        yield world


@pytest.fixture
async def nginxes_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[NginxWorld]:
    """Two nginxes with an included file each."""
    async with nginx_world(tmp_path, monkeypatch, files=2) as world:
        yield world


@pytest.fixture
async def traefiks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TraefikWorld]:
    """Two Traefiks that watch one file."""
    async with traefik_world(tmp_path, monkeypatch, files=1) as world:
        yield world


@pytest.fixture
async def traefiks_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TraefikWorld]:
    """Two Traefiks with a file each."""
    async with traefik_world(tmp_path, monkeypatch, files=2) as world:
        yield world
