"""One contract, kept by every source: the fake, Prometheus over exact samples, real stores."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from coalmine.testing.source_contract import MetricSourceContract, SourceWorld
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


class TestTemporalVisibility(MetricSourceContract):
    @pytest.fixture
    async def world(self, tmp_path: Path) -> AsyncIterator[SourceWorld]:
        async with visibility(tmp_path) as (client, file, namespace):
            world = TemporalSourceWorld(client, file, namespace)
            await world.begin()
            yield world


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
