"""One contract, kept by every source: the fake, Prometheus over exact samples, real stores."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from temporalio.client import Client

from coalmine.testing.source_contract import MetricSourceContract, SourceWorld
from tests.conftest import NAMESPACE
from tests.sources.http_world import orders
from tests.sources.sql_worlds import duckdb_world, postgres_world
from tests.sources.temporal_world import TemporalSourceWorld, visibility


class TestFakeSource(MetricSourceContract):
    @pytest.fixture
    def world(self, fake_world: SourceWorld) -> SourceWorld:
        return fake_world


class TestPrometheusOverExactSamples(MetricSourceContract):
    @pytest.fixture
    def world(self, sample_world: SourceWorld) -> SourceWorld:
        return sample_world


class TestRealPrometheus(MetricSourceContract):
    @pytest.fixture
    def world(self, real_world: SourceWorld) -> SourceWorld:
        return real_world


class TestRealVictoriaMetrics(MetricSourceContract):
    @pytest.fixture
    def world(self, victoria_world: SourceWorld) -> SourceWorld:
        return victoria_world


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def store(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[str, Path, str]]:
    """One server for all cases, each with a deployment of its own."""
    async with visibility(tmp_path_factory.mktemp("visibility")) as (client, file, namespace):
        yield client.service_client.config.target_host, file, namespace


class TestTemporalVisibility(MetricSourceContract):
    @pytest.fixture
    async def world(self, store: tuple[str, Path, str]) -> SourceWorld:
        address, file, namespace = store
        world = TemporalSourceWorld(await Client.connect(address, namespace=NAMESPACE), file, namespace)
        await world.begin()
        return world


class TestDuckDb(MetricSourceContract):
    @pytest.fixture
    def world(self, tmp_path: Path) -> SourceWorld:
        return duckdb_world(tmp_path)


class TestPostgres(MetricSourceContract):
    @pytest.fixture
    def world(self, postgres_url: str) -> SourceWorld:
        return postgres_world(postgres_url)


class TestJsonOverHttp(MetricSourceContract):
    @pytest.fixture
    async def world(self) -> AsyncIterator[SourceWorld]:
        async with orders() as made:
            yield made
