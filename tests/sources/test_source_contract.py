"""One contract, kept by every source: the fake, Prometheus over exact samples, and a real Prometheus."""

from __future__ import annotations

import pytest

from coalmine.testing.source_contract import MetricSourceContract, SourceWorld


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
