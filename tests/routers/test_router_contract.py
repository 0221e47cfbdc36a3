"""One contract, kept by every router: fakes, Envoys on one file, with a file each, and with all they can do."""

from __future__ import annotations

import pytest

from coalmine.testing.router_contract import RouterContract
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
