"""The parts of an Envoy's bootstrap: listeners by ``rds``, clusters, and a control plane to ask for routes by ADS."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

_CONTROL = "coalmine-xds"
_EXTENSIONS = "type.googleapis.com/envoy.extensions"


def listener(name: str, port: int, route_name: str, route_file: Path | None) -> dict[str, Any]:
    """One that takes requests by a route of a file, or of the control plane."""
    source: dict[str, Any] = {"ads": {}, "resource_api_version": "V3"}
    if route_file is not None:
        source = {"path_config_source": {"path": str(route_file)}}
    manager = {
        "@type": f"{_EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "rds": {"route_config_name": route_name, "config_source": source},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_EXTENSIONS}.filters.http.router.v3.Router"},
            }
        ],
    }
    return {
        "name": name,
        "address": address(f"127.0.0.1:{port}"),
        # Two proxies on one port must be an error, not a silent share.
        "enable_reuse_port": False,
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }


def cluster(name: str, endpoints: Sequence[str]) -> dict[str, Any]:
    """One with these endpoints, ``host:port`` each."""
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(one)}} for one in endpoints]}],
        },
    }


def control_plane(endpoint: str) -> dict[str, Any]:
    """The cluster ``by_ads`` asks: gRPC needs HTTP/2, and the pings tell that its host is gone."""
    pings = {"connection_keepalive": {"interval": "10s", "timeout": "5s"}}
    options = {
        "@type": f"{_EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": pings},
    }
    extensions = {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options}
    return {**cluster(_CONTROL, [endpoint]), "typed_extension_protocol_options": extensions}


def by_ads() -> dict[str, Any]:
    """Ask the control plane, and ask again soon when it was gone."""
    again = {"retry_back_off": {"base_interval": "0.1s", "max_interval": "1s"}}
    service = {"envoy_grpc": {"cluster_name": _CONTROL, "retry_policy": again}}
    config = {"api_type": "GRPC", "transport_api_version": "V3", "grpc_services": [service]}
    return {"dynamic_resources": {"ads_config": config}}


def address(endpoint: str) -> dict[str, Any]:
    """``host:port`` as Envoy writes it."""
    host, _, port = endpoint.rpartition(":")
    return {"socket_address": {"address": host, "port_value": int(port)}}
