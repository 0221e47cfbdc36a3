"""Envoy's messages out of their own pool: what a route file may say, and that nobody else's are touched."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from coalmine.errors import RouteRejected
from coalmine.local.envoy import route_response
from coalmine.xds.messages import DESCRIPTORS, ROUTE, encoded_route, message_type

API = "type.googleapis.com/envoy.extensions.filters.http"


def configuration(**more: Any) -> dict[str, Any]:
    found: dict[str, Any] = route_response("shop", {"stable": 9_000, "canary": 1_000})["resources"][0]
    return found | more


def test_a_route_is_what_its_file_says() -> None:
    route = message_type(ROUTE).FromString(encoded_route(configuration(), "shop.yaml"))
    (entry,) = route.virtual_hosts[0].routes
    assert [(one.name, one.weight.value) for one in entry.route.weighted_clusters.clusters] == [
        ("stable", 9_000),
        ("canary", 1_000),
    ]
    assert route.validate_clusters.value


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("buffer.v3.BufferPerRoute", {"disabled": True}),
        ("cors.v3.CorsPolicy", {"allow_credentials": True}),
        ("lua.v3.LuaPerRoute", {"disabled": True}),
        ("ext_authz.v3.ExtAuthzPerRoute", {"disabled": True}),
        ("local_ratelimit.v3.LocalRateLimit", {"stat_prefix": "x"}),
        ("rbac.v3.RBACPerRoute", {"rbac": {}}),
    ],
)
def test_filters_may_have_settings_in_a_route(kind: str, settings: dict[str, Any]) -> None:
    filters = {"a filter": {"@type": f"{API}.{kind}", **settings}}
    assert kind.encode() in encoded_route(configuration(typed_per_filter_config=filters), "shop.yaml")


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"virtual_host": []}, "virtual_host"),
        ({"virtual_hosts": [{"name": "x", "domain": ["*"]}]}, "domain"),
        ({"virtual_hosts": 3}, "virtual_hosts"),
        ({"name": 3}, "name"),
        ({"typed_per_filter_config": {"x": {"@type": "type.googleapis.com/acme.Filter"}}}, "acme.Filter"),
    ],
)
def test_what_envoy_does_not_have_is_named_with_its_file(more: dict[str, Any], told: str) -> None:
    with pytest.raises(RouteRejected, match=rf"shop\.yaml: .*{told}"):
        encoded_route(configuration(**more), "shop.yaml")


def test_every_message_can_be_made() -> None:
    files = FileDescriptorSet.FromString(gzip.decompress(DESCRIPTORS.read_bytes())).file
    for file in files:
        for message in file.message_type:
            message_type(f"{file.package}.{message.name}")()


def test_nothing_is_put_into_the_pool_that_others_use() -> None:
    import opentelemetry.proto.trace.v1.trace_pb2
    import temporalio.api.common.v1  # noqa: F401

    encoded_route(configuration(), "shop.yaml")
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindMessageTypeByName(ROUTE)
    assert opentelemetry.proto.trace.v1.trace_pb2.Span(name="x").name == "x"
