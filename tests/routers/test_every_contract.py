"""Every router we bring is held to the contract by a class of tests."""

from __future__ import annotations

from importlib import import_module

import pytest

from activities.routers.registry import BUILT_IN
from coalmine.testing.router_contract import RouterContract

HELD_BY = {
    "aws-alb": "tests.aws.test_router_contract:TestAlbFencedByDynamoDb",
    "aws-lambda": "tests.aws.test_router_contract:TestLambda",
    "aws-route53": "tests.aws.test_router_contract:TestRoute53",
    "envoy": "tests.routers.test_router_contract:TestEnvoyOnThreeFiles",
    "envoy-xds": "tests.routers.test_envoy_xds_contract:TestEnvoyXds",
    "flagd": "tests.routers.test_flagd_contract:TestFlagFiles",
    "haproxy": "tests.routers.test_router_contract:TestHAProxyOnTwoFiles",
    "kubernetes-gateway": "tests.routers.test_kubernetes_contract:TestGateway",
    "kubernetes-istio": "tests.routers.test_kubernetes_contract:TestIstio",
    "kubernetes-replicas": "tests.routers.test_kubernetes_contract:TestReplicas",
    "nginx": "tests.routers.test_router_contract:TestNginxOnTwoFiles",
    "temporal-worker": "tests.routers.test_temporal_worker:TestTemporalWorker",
    "traefik": "tests.routers.test_router_contract:TestTraefikOnTwoFiles",
}


@pytest.mark.parametrize("name", sorted(BUILT_IN.keys() | HELD_BY.keys()))
def test_a_router_has_a_class_of_the_contract(name: str) -> None:
    assert name in BUILT_IN, f"{name}: no router of ours, remove it here"
    assert name in HELD_BY, f"{name}: subclass RouterContract over its data plane, and name the class here"
    module, _, kind = HELD_BY[name].partition(":")
    assert issubclass(getattr(import_module(module), kind), RouterContract)


@pytest.mark.parametrize("name", sorted(HELD_BY))
def test_no_router_leaves_a_case_out_by_replacing_it(name: str) -> None:
    module, _, kind = HELD_BY[name].partition(":")
    held = getattr(import_module(module), kind)
    cases = [case for case in dir(RouterContract) if case.startswith("test_")]
    assert len(cases) >= 25
    assert [case for case in cases if getattr(held, case) is not getattr(RouterContract, case)] == []
