"""What people have said of a backend stays through every write, and a new one is reached as the first of ours is."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from activities.routers.kubernetes_gateway import HTTP_ROUTE, _HttpRoute
from activities.routers.kubernetes_istio import VIRTUAL_SERVICE, _VirtualService
from activities.routers.kubernetes_objects import Dialect, object_weights, write_into

BASELINE, CANARY = {"stable": 10_000, "canary": 0}, {"stable": 0, "canary": 10_000}
HEADERS: dict[str, Any] = {"request": {"set": {"x-arm": "canary"}}}
FILTERS = [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x-arm", "value": "canary"}]}}]


def gateway(*refs: dict[str, Any]) -> tuple[Dialect, Any, list[dict[str, Any]]]:
    found = {"metadata": {"name": "shop"}, "spec": {"rules": [{"backendRefs": copy.deepcopy(list(refs))}]}}
    return _HttpRoute(), found, found["spec"]["rules"][0]["backendRefs"]  # type: ignore[index]


def istio(*refs: dict[str, Any]) -> tuple[Dialect, Any, list[dict[str, Any]]]:
    found = {"metadata": {"name": "shop"}, "spec": {"http": [{"route": copy.deepcopy(list(refs))}]}}
    return _VirtualService(status=False), found, found["spec"]["http"][0]["route"]  # type: ignore[index]


GATEWAY_STABLE = {"name": "stable", "namespace": "shop", "port": 8080, "weight": 1}
GATEWAY_CANARY = {"name": "canary", "namespace": "shop", "port": 8080, "weight": 0}
ISTIO_STABLE = {"destination": {"host": "stable", "port": {"number": 8080}}, "weight": 100}
ISTIO_CANARY = {"destination": {"host": "canary", "port": {"number": 8080}}, "weight": 0}


@pytest.mark.parametrize(
    ("dialect", "found", "refs"),
    [
        pytest.param(*gateway(GATEWAY_STABLE, {**GATEWAY_CANARY, "filters": FILTERS}), id="gateway-canary"),
        pytest.param(*gateway({**GATEWAY_STABLE, "filters": FILTERS}, GATEWAY_CANARY), id="gateway-baseline"),
        pytest.param(*istio(ISTIO_STABLE, {**ISTIO_CANARY, "headers": HEADERS}), id="istio-canary"),
        pytest.param(*istio({**ISTIO_STABLE, "headers": HEADERS}, ISTIO_CANARY), id="istio-baseline"),
    ],
)
def test_what_is_said_of_a_backend_stays_there_and_back_again(
    dialect: Dialect, found: Any, refs: list[dict[str, Any]]
) -> None:
    said = [without_weight(ref) for ref in copy.deepcopy(refs) if {"filters", "headers"} & set(ref)]
    for units in (BASELINE, {"stable": 9_000, "canary": 1_000}, CANARY, BASELINE):
        write_into(dialect, found, units)
        assert [without_weight(ref) for ref in refs if {"filters", "headers"} & set(ref)] == said
        assert object_weights(dialect, found, list(units)) == {name: unit / 100 for name, unit in units.items()}


@pytest.mark.parametrize(
    ("dialect", "found", "refs"),
    [
        pytest.param(*gateway(GATEWAY_STABLE, GATEWAY_CANARY), id="gateway"),
        pytest.param(*istio(ISTIO_STABLE, ISTIO_CANARY), id="istio"),
    ],
)
def test_a_backend_of_which_nothing_is_said_leaves_at_zero(
    dialect: Dialect, found: Any, refs: list[dict[str, Any]]
) -> None:
    first, second = copy.deepcopy(refs)
    write_into(dialect, found, CANARY)
    assert refs == [{**second, "weight": 100}]
    write_into(dialect, found, BASELINE)
    assert refs == [{**first, "weight": 100}]


@pytest.mark.parametrize(
    ("share", "weights"),
    [(500, [95, 5]), (50, [199, 1]), (10, [999, 1]), (250, [39, 1]), (1_250, [7, 1]), (3_340, [333, 167])],
)
@pytest.mark.parametrize(("make", "named"), [(gateway, GATEWAY_STABLE), (istio, ISTIO_STABLE)])
def test_steps_of_a_tenth_of_a_percent_need_no_weight_that_a_controller_refuses(
    make: Any, named: dict[str, Any], share: int, weights: list[int]
) -> None:
    """AWS' controller takes up to 999, and GKE's up to 1,000."""
    dialect, found, refs = make(named)
    units = {"stable": 10_000 - share, "canary": share}
    write_into(dialect, found, units)
    assert [ref["weight"] for ref in refs] == weights
    assert object_weights(dialect, found, list(units)) == {name: unit / 100 for name, unit in units.items()}


def test_a_new_reference_of_an_http_route_goes_where_the_first_goes_without_its_filters() -> None:
    dialect, found, refs = gateway({**GATEWAY_STABLE, "group": "", "kind": "Service", "filters": FILTERS})
    write_into(dialect, found, {"stable": 9_000, "canary": 1_000})
    assert dialect.kind is HTTP_ROUTE
    assert refs == [
        {**GATEWAY_STABLE, "group": "", "kind": "Service", "filters": FILTERS, "weight": 90},
        {**GATEWAY_CANARY, "group": "", "kind": "Service", "weight": 10},
    ]


@pytest.mark.parametrize("canary", ["canary", "canary/v2"])
def test_a_new_destination_of_a_virtual_service_has_the_port_of_the_first_without_its_headers(canary: str) -> None:
    dialect, found, refs = istio({**ISTIO_STABLE, "headers": HEADERS})
    write_into(dialect, found, {"stable": 9_000, canary: 1_000})
    assert dialect.kind is VIRTUAL_SERVICE
    host, _, subset = canary.partition("/")
    to = {"host": host, "port": {"number": 8080}, **({"subset": subset} if subset else {})}
    assert refs == [{**ISTIO_STABLE, "headers": HEADERS, "weight": 90}, {"destination": to, "weight": 10}]


def test_a_destination_without_a_port_gets_none() -> None:
    dialect, found, refs = istio({"destination": {"host": "stable"}})
    write_into(dialect, found, {"stable": 9_000, "canary": 1_000})
    assert refs[1] == {"destination": {"host": "canary"}, "weight": 10}


def without_weight(ref: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in ref.items() if key != "weight"}
