"""A small valid spec, fresh for every test."""

from __future__ import annotations

import copy
from typing import Any

import pytest

SMALL: dict[str, Any] = {
    "service": "checkout",
    "environment": "production",
    "arms": {
        "baseline": {"version": "1.41.0", "backend": "checkout-v41"},
        "canary": {"version": "1.42.0", "backend": "checkout-v42"},
    },
    "route": {
        "router": "envoy",
        "name": "checkout",
        "files": ["/routes/checkout.yaml"],
        "admins": ["http://[::1]:9901"],
    },
    "steps": [{"weight": 1}, {"weight": 10, "for": "10m"}],
    "metrics": [{"name": "errors", "kind": "ratio", "template": "envoy", "max": 0.02}],
    "sources": {"prometheus": {"url": "http://127.0.0.1:9090"}},
}


@pytest.fixture
def small() -> dict[str, Any]:
    """The data of a small valid spec, to be broken."""
    return copy.deepcopy(SMALL)
