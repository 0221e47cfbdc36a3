"""Files of Traefik's that people wrote, and servers it has found down."""

from __future__ import annotations

import pytest
from ruamel.yaml import YAML

from activities.routers.preflight import Endpoints
from activities.routers.traefik import _servers
from activities.routers.traefik_document import TraefikDocument
from coalmine.errors import RouteRejected
from tests.routers.traefik_world import SHOP

BARE = SHOP[: SHOP.index("  middlewares:")]


@pytest.mark.parametrize("middlewares", ["", "  middlewares:\n", "  middlewares:  # none yet\n", "  middlewares: {}\n"])
def test_a_file_without_a_middleware_gets_ours(middlewares: str) -> None:
    document = TraefikDocument("shop.yml", BARE + middlewares, "shop")
    assert document.reading().version.generation == 0
    document.set_weights({"stable": 90, "canary": 10})
    document.stamp(7)
    written = TraefikDocument("shop.yml", document.render(), "shop").reading()
    assert written.version.generation == 7
    assert dict(written.splits[0].shares) == {"stable": 90, "canary": 10}


def test_middlewares_of_the_users_stay() -> None:
    document = TraefikDocument("shop.yml", SHOP, "shop")
    document.stamp(1)
    before, after = (YAML(typ="safe").load(text)["http"]["middlewares"] for text in (SHOP, document.render()))
    assert after.pop("shop-coalmine")
    assert after == before


def test_middlewares_that_are_no_mapping_are_told() -> None:
    with pytest.raises(RouteRejected, match=r"http\.middlewares is no mapping"):
        TraefikDocument("shop.yml", BARE + "  middlewares: [gzip]\n", "shop")


def test_a_server_that_traefik_found_down_gets_nothing() -> None:
    """As ``/api/rawdata`` of Traefik 3.7 has a service with a health check."""
    urls = ["http://10.0.0.1:80", "http://10.0.0.2:80", "http://10.0.0.3:80"]
    service = {
        "loadBalancer": {"servers": [{"url": url} for url in urls], "healthCheck": {"path": "/"}},
        "status": "enabled",
        "serverStatus": {urls[0]: "UP", urls[1]: "DOWN", urls[2]: "DOWN"},
    }
    assert _servers(service) == Endpoints(3, 1)
    del service["serverStatus"]
    assert _servers(service) == Endpoints(3, 3)
