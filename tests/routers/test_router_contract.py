"""One contract, kept by every router: fakes, and real proxies on a file each; of other set-ups, what differs there."""

from __future__ import annotations

import pytest

from coalmine.testing.router_contract import RouterContract
from coalmine.testing.router_fencing import FencingCases
from coalmine.testing.router_trouble import TroubleCases
from coalmine.testing.router_writing import WritingCases
from tests.routers.envoy_world import EnvoyWorld
from tests.routers.fake_world import FakeWorld, Forgetful, Unconfirming, fake_of
from tests.routers.haproxy_world import HAProxyWorld
from tests.routers.nginx_world import NginxWorld
from tests.routers.traefik_world import TraefikWorld


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


class TestEnvoyOnOneFile(FencingCases):
    @pytest.fixture
    def world(self, one_file: EnvoyWorld) -> EnvoyWorld:
        return one_file


class TestEnvoyOnThreeFiles(RouterContract):
    @pytest.fixture
    def world(self, three_files: EnvoyWorld) -> EnvoyWorld:
        return three_files


class TestEnvoyWithTestersAndCopies(WritingCases):
    @pytest.fixture
    def world(self, asking: EnvoyWorld) -> EnvoyWorld:
        return asking


class TestHAProxyOnOneFile(TroubleCases):
    @pytest.fixture
    def world(self, haproxies: HAProxyWorld) -> HAProxyWorld:
        return haproxies


class TestHAProxyOnTwoFiles(RouterContract):
    @pytest.fixture
    def world(self, haproxies_apart: HAProxyWorld) -> HAProxyWorld:
        return haproxies_apart


class TestNginxOnOneFile(TroubleCases):
    @pytest.fixture
    def world(self, nginxes: NginxWorld) -> NginxWorld:
        return nginxes


class TestNginxOnTwoFiles(RouterContract):
    @pytest.fixture
    def world(self, nginxes_apart: NginxWorld) -> NginxWorld:
        return nginxes_apart


class TestTraefikOnOneFile(TroubleCases):
    @pytest.fixture
    def world(self, traefiks: TraefikWorld) -> TraefikWorld:
        return traefiks


class TestTraefikOnTwoFiles(RouterContract):
    @pytest.fixture
    def world(self, traefiks_apart: TraefikWorld) -> TraefikWorld:
        return traefiks_apart
