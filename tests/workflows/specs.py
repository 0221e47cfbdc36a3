"""Small specs and submissions, for servers whose time skips and for real time."""

from __future__ import annotations

from typing import Any

from coalmine.records import Submission
from coalmine.spec.canary import CanarySpec


def make_spec(**changes: Any) -> CanarySpec:
    """A small spec: 10 % and 50 %, one minute each, looks of 10 s, a bake of one minute."""
    spec: dict[str, Any] = {
        "service": "checkout",
        "environment": "test",
        "arms": {
            "baseline": {"version": "1.0.0", "backend": "checkout-v1"},
            "canary": {"version": "1.1.0", "backend": "checkout-v2"},
        },
        "route": {
            "router": "envoy",
            "name": "checkout",
            "files": ["/tmp/route.yaml"],
            "admins": ["http://127.0.0.1:9901"],
        },
        "steps": [{"weight": 10, "for": "1m"}, {"weight": 50, "for": "1m"}],
        "metrics": [
            {"name": "errors", "kind": "ratio", "source": "prometheus", "template": "envoy", "max": 0.05},
        ],
        "policy": {"look": "10s"},
        "promotion": {"bake": "1m", "rollback_window": "10m"},
        "sources": {"prometheus": {"url": "http://127.0.0.1:9090", "scrape": "1s", "flush": "1s"}},
    }
    spec.update(changes)
    return CanarySpec.model_validate(spec)


def make_submission(spec: CanarySpec | None = None, **changes: Any) -> Submission:
    """A submission by ana."""
    return Submission(spec=spec or make_spec(), by=changes.pop("by", "ana"), **changes)


def quick(**changes: Any) -> CanarySpec:
    """A spec for real time: looks every second, three seconds a step."""
    policy = {"look": "1s", **changes.pop("policy", {})}
    return make_spec(
        **{
            "steps": [{"weight": 10, "for": "3s"}, {"weight": 50, "for": "3s"}],
            "policy": policy,
            "promotion": {"bake": "2s", "rollback_window": "3s"},
            "sources": {"prometheus": {"url": "http://127.0.0.1:9090", "scrape": "100ms", "flush": "100ms"}},
            **changes,
        }
    )
