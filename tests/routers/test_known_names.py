"""What ``coalmine validate`` refuses by name alone is what the routers refuse before a write, in the same words."""

from __future__ import annotations

from typing import Any

import pytest

from activities.routers.envoy_document import RouteDocument
from activities.routers.flag_document import FlagDocument
from activities.routers.haproxy_map import HAProxyMap
from activities.routers.nginx_split import NginxSplit
from activities.routers.splits import DocumentType
from activities.routers.traefik_document import TraefikDocument
from coalmine.errors import RouteRejected, SpecError
from coalmine.spec import check_spec
from coalmine.spec.flag_routes import FlagTesters

FLAGS = '{"flags": {"shop": {"variants": {"old": 1, "new": 2}, "defaultVariant": "old"}}}'
KEYS: dict[str, dict[str, Any]] = {
    "envoy": {"admins": ["http://127.0.0.1:9901"]},
    "haproxy": {"sockets": ["/run/haproxy.sock"]},
    "nginx": {"proxies": [{"status": "http://127.0.0.1:8080/split"}]},
    "traefik": {"apis": ["http://127.0.0.1:8080"]},
}


def told(router: str, name: str, canary: str = "new", **keys: Any) -> list[str]:
    """What is said of the route without asking anybody."""
    spec = {
        "service": "shop",
        "environment": "production",
        "arms": {"baseline": {"version": "1", "backend": "old"}, "canary": {"version": "2", "backend": canary}},
        "route": {"router": router, "name": name, **keys},
        "steps": [{"weight": 10}],
        "metrics": [{"name": "errors", "kind": "value", "query": 'e{a="{arm.backend}"}', "role": "guardrail"}],
        "sources": {"prometheus": {"url": "http://127.0.0.1:9090"}},
    }
    try:
        check_spec(spec)
    except SpecError as error:
        return [problem.message for problem in error.problems if problem.field.startswith(("route", "arms"))]
    return []


@pytest.mark.parametrize(
    ("router", "document", "file", "name"),
    [
        ("envoy", RouteDocument, "/routes/shop.toml", "shop"),
        ("envoy", RouteDocument, "/routes/shop", "shop"),
        ("haproxy", HAProxyMap, "/maps/store.map", "shop"),
        ("nginx", NginxSplit, "/nginx/shop.conf", "shop-split"),
        ("nginx", NginxSplit, "/nginx/shop.conf", "1shop"),
        ("nginx", NginxSplit, "/nginx/shop.conf", "läden"),
        ("traefik", TraefikDocument, "/traefik/shop.toml", "shop"),
    ],
)
def test_a_name_no_write_could_do_with_is_refused_alike(
    router: str, document: DocumentType, file: str, name: str
) -> None:
    (reason,) = told(router, name, files=[file], **KEYS[router])
    with pytest.raises(RouteRejected) as refused:
        document(file, "", name)
    assert str(refused.value).removeprefix("route.name: ") == reason


@pytest.mark.parametrize(
    ("router", "file", "name"),
    [
        ("envoy", "/routes/any.yml", "shop-v1"), ("haproxy", "/maps/shop-v1.map", "shop-v1"),
        ("nginx", "/nginx/any.conf", "_shop_2"), ("nginx", "/nginx/any.conf", "0"), ("traefik", "any.yaml", "shop@v1"),
    ],
)  # fmt: skip
def test_a_name_that_can_be_written_is_not(router: str, file: str, name: str) -> None:
    assert told(router, name, files=[file], **KEYS[router]) == []


def test_testers_of_a_flag_get_no_arms_variant() -> None:
    asked = {"variant": "new", "when": {"in": ["beta", {"var": "groups"}]}}
    (reason,) = told("flagd", "shop", places=["/flags/shop.json"], testers=asked)
    document = FlagDocument("/flags/shop.json", FLAGS, "shop")
    refused = document.testers_problem(FlagTesters.model_validate(asked), ["old", "new"])
    assert refused == f"route.testers.variant: {reason}"
    assert told("flagd", "shop", places=["/flags/shop.json"], testers={**asked, "variant": "testers"}) == []


@pytest.mark.parametrize(
    ("router", "document", "file", "text"),
    [
        ("haproxy", HAProxyMap, "/maps/shop.map", "0:9999 old\n"),
        (
            "nginx", NginxSplit, "/nginx/shop.conf",
            'split_clients "${request_id}" $shop { * old; }\nmap "" $shop_route { default "0"; }\n',
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("backend", ["shop;v2", "shop$v2", "läden"])
def test_a_backend_nobody_could_write_is_refused_alike(
    router: str, document: DocumentType, file: str, text: str, backend: str
) -> None:
    (reason,) = told(router, "shop", backend, files=[file], **KEYS[router])
    with pytest.raises(RouteRejected) as refused:
        document(file, text, "shop").set_weights({"old": 5_000, backend: 5_000})
    assert str(refused.value) == reason


@pytest.mark.parametrize("router", ["kubernetes-gateway", "kubernetes-replicas"])
@pytest.mark.parametrize(
    ("backend", "refused"), [("Shop_V2", True), ("shop-v2", False), ("-shop", True), ("Mesh/shop", False)]
)
def test_a_backend_that_kubernetes_could_not_name_is_refused(router: str, backend: str, refused: bool) -> None:
    keys = {
        "namespace": "shop",
        **(
            {
                "replicas": 20,
            }
            if router.endswith("replicas")
            else {}
        ),
    }
    reasons = told(router, "shop", backend, **keys)
    assert any("cannot be a name in Kubernetes" in reason for reason in reasons) == refused


def test_a_map_whose_path_no_socket_takes_is_refused() -> None:
    (reason,) = told("haproxy", "shop", files=["/my maps/shop.map"], **KEYS["haproxy"])
    assert "takes no path with a blank" in reason
