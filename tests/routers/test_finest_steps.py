"""What ``coalmine validate`` knows of steps without asking anybody is what the adapters can do."""

from __future__ import annotations

from typing import Any

import pytest

from activities.routers.registry import BUILT_IN
from activities.routers.weights import weights_check
from coalmine.errors import SpecError
from coalmine.spec import check_spec
from coalmine.spec.canary import Route
from coalmine.spec.route_rules import finest_step

LISTENER = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/shop/50dc6c495c0c9188/f2f7dc8efc522ab2"
CLUSTER = {"namespace": "shop"}
PROXIED = {"files": ["/routes/shop.yaml"]}
KEYS: dict[str, dict[str, Any]] = {
    "aws-alb": {"places": [LISTENER], "fence_folder": "/fences"},
    "aws-lambda": {"alias": "live"},
    "aws-route53": {"zone": "Z0123456789", "fence_folder": "/fences"},
    "envoy": {**PROXIED, "admins": ["http://127.0.0.1:9901"]},
    "envoy-xds": {"control": "http://127.0.0.1:18001", "proxies": [{"node": "edge-1"}]},
    "flagd": {"places": ["/flags/shop.json"]},
    "haproxy": {**PROXIED, "sockets": ["/run/haproxy.sock"]},
    "kubernetes-gateway": CLUSTER,
    "kubernetes-istio": CLUSTER,
    "kubernetes-replicas": {**CLUSTER, "replicas": 16},
    "nginx": {**PROXIED, "proxies": [{"status": "http://127.0.0.1:8080/split"}]},
    "temporal-worker": {},
    "traefik": {**PROXIED, "apis": ["http://127.0.0.1:8080"]},
}


@pytest.mark.parametrize("router", sorted(BUILT_IN))
async def test_the_step_known_offline_is_the_adapters(router: str) -> None:
    route = Route.model_validate({"router": router, "name": "shop", **KEYS[router]})
    assert finest_step(route) == (await BUILT_IN[router]().capabilities(route)).granularity


@pytest.mark.parametrize("weight", [0.01, 0.1, 0.5, 1.0, 6.25, 10.1, 12.5, 33.3, 99.95])
@pytest.mark.parametrize("router", ["aws-alb", "aws-route53", "kubernetes-replicas", "envoy", "aws-lambda"])
def test_validate_takes_exactly_the_weights_the_adapter_would(router: str, weight: float) -> None:
    spec = {
        "service": "shop",
        "environment": "production",
        "arms": {"baseline": {"version": "1", "backend": "1"}, "canary": {"version": "2", "backend": "2"}},
        "route": {"router": router, "name": "shop", **KEYS[router]},
        "steps": [{"weight": weight}],
        "metrics": [{"name": "errors", "kind": "ratio", "template": "http", "max": 0.02}],
        "sources": {"prometheus": {"url": "http://127.0.0.1:9090"}},
    }
    route = Route.model_validate(spec["route"])
    if weights_check([weight], finest_step(route)).ok:
        check_spec(spec)
    else:
        with pytest.raises(SpecError, match=r"steps\[0\]\.weight: .* steps of [0-9.]+ %.*; take "):
            check_spec(spec)
