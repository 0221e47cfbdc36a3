"""Routers by name."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from activities import adapters
from activities.routers import registry
from activities.routers.envoy import EnvoyRouter
from activities.routers.registry import Routers, installed
from coalmine.errors import InputError, UnknownAdapter
from coalmine.testing.fake_router import FakeRouter


def test_a_router_is_made_once() -> None:
    routers = Routers()
    assert isinstance(routers["envoy"], EnvoyRouter)
    assert routers["envoy"] is routers["envoy"]


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(UnknownAdapter, match=r"'enovy'.*envoy"):
        Routers()["enovy"]


def test_a_worker_may_serve_a_few_only() -> None:
    fake = FakeRouter({"stable": 100})
    routers = Routers({"fake": lambda: fake})
    assert routers.names == ["fake"]
    assert routers["fake"] is fake


def entries(monkeypatch: pytest.MonkeyPatch, *found: EntryPoint) -> None:
    def entry_points(*, group: str) -> list[EntryPoint]:
        assert group == "coalmine.routers"
        return list(found)

    monkeypatch.setattr(adapters, "entry_points", entry_points)


def test_another_distribution_brings_a_router(monkeypatch: pytest.MonkeyPatch) -> None:
    target = "activities.routers.envoy:EnvoyRouter"
    entries(monkeypatch, EntryPoint("edge", target, registry.GROUP))
    assert sorted(installed()) == sorted(["edge", *registry.BUILT_IN])
    assert isinstance(Routers()["edge"], EnvoyRouter)


def test_two_routers_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    entries(monkeypatch, EntryPoint("envoy", "other:Router", registry.GROUP))
    with pytest.raises(InputError, match="two routers"):
        Routers()
