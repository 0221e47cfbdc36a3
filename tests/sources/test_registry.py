"""Sources by name."""

from __future__ import annotations

import pytest

from activities.sources.prometheus import PrometheusSource
from activities.sources.registry import make_source, source_kinds
from coalmine.errors import UnknownAdapter


def test_prometheus_is_built_in() -> None:
    source = make_source("prometheus")
    assert isinstance(source, PrometheusSource)
    source.close()


def test_an_unknown_kind_lists_the_known() -> None:
    with pytest.raises(UnknownAdapter, match=r"'promethius' is not known; known are .*prometheus"):
        make_source("promethius")
    assert "prometheus" in source_kinds()
