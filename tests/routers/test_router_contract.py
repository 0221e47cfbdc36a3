"""One contract, kept by every router: fakes, real proxies on one file and on a file each, Envoys with all they do."""

from __future__ import annotations

import pytest

from coalmine.testing.router_contract import RouterContract
from tests.routers.haproxy_world import HAProxyWorld
from tests.routers.nginx_world import NginxWorld
from tests.routers.traefik_world import TraefikWorld
from tests.routers.worlds import EnvoyWorld, FakeWorld, Forgetful, Unconfirming, fake_of


class TestFakeRouter(RouterContract):
    @pytest.fixture
    def world(self, fake_world: FakeWorld) -> FakeWorld:
        return fake_world


class TestForgetfulFakeRouter(RouterContract):
    @pytest.fixture
    def world(self) -> FakeWorld:
        world = fake_of(Forgetful)
        world.lacks = {**world.lacks, "memory": "it stands for proxies that keep nothing"}
        return world


class TestUnconfirmingFakeRouter(RouterContract):
    @pytest.fixture
    def world(self) -> FakeWorld:
        return fake_of(Unconfirming)


class TestEnvoyOnOneFile(RouterContract):
    @pytest.fixture
    def world(self, one_file: EnvoyWorld) -> EnvoyWorld:
        return one_file


class TestEnvoyOnThreeFiles(RouterContract):
    @pytest.fixture
    def world(self, three_files: EnvoyWorld) -> EnvoyWorld:
        return three_files


class TestEnvoyWithTestersAndCopies(RouterContract):
    @pytest.fixture
    def world(self, asking: EnvoyWorld) -> EnvoyWorld:
        return asking


class TestHAProxyOnOneFile(RouterContract):
    @pytest.fixture
    def world(self, haproxies: HAProxyWorld) -> HAProxyWorld:
        return haproxies


class TestHAProxyOnTwoFiles(RouterContract):
    @pytest.fixture
    def world(self, haproxies_apart: HAProxyWorld) -> HAProxyWorld:
        return haproxies_apart


class TestNginxOnOneFile(RouterContract):
    @pytest.fixture
    def world(self, nginxes: NginxWorld) -> NginxWorld:
        return nginxes


class TestNginxOnTwoFiles(RouterContract):
    @pytest.fixture
    def world(self, nginxes_apart: NginxWorld) -> NginxWorld:
        return nginxes_apart


class TestTraefikOnOneFile(RouterContract):
    @pytest.fixture
    def world(self, traefiks: TraefikWorld) -> TraefikWorld:
        return traefiks


class TestTraefikOnTwoFiles(RouterContract):
    @pytest.fixture
    def world(self, traefiks_apart: TraefikWorld) -> TraefikWorld:
        return traefiks_apart
