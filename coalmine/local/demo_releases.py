"""The releases of the demo: what each version does, and the spec it is released with. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from coalmine.local.demo_service import Behaviour, with_p99
from coalmine.local.stack import SERVICE, Stack

ENVIRONMENT = "demo"
RATE = 600
"""Requests per second through Envoy, both versions together."""
HEALTHY = Behaviour(errors=0.02, median=0.05, sigma=0.47)
"""2 % errors, median 50 ms, p99 149 ms: long beside the few milliseconds that a busy machine adds."""
APPROVER = "ana"
GATE = "go-to-half"


@dataclass(frozen=True)
class Release:
    """One scenario: a version, how it behaves, how it is released and what must come of it."""

    name: str
    version: str
    expected: str
    behaviour: Behaviour
    steps: list[dict[str, Any]]
    look: str = "2s"
    approve: bool = False
    """Somebody must approve it on the way."""
    margin: float = 1.1
    """The odds ratio above which a release is harmful."""
    no_harm: float = 2.0
    """The odds ratio a release must be shown to stay below before it is promoted. With 1.5, the default, one good
    release in ten is not shown to be good in the time a demo has; the bad ones are at 2.6 and 5.4."""

    def spec(self, stack: Stack, baseline: tuple[str, str], canary: str) -> dict[str, Any]:
        """The spec as a user would write it; ``baseline`` is its version and slot, ``canary`` the slot."""
        return {
            "service": SERVICE,
            "environment": ENVIRONMENT,
            "arms": {
                "baseline": {"version": baseline[0], "backend": baseline[1]},
                "canary": {"version": self.version, "backend": canary},
            },
            "route": {
                "router": "envoy",
                "name": SERVICE,
                "files": [stack.envoy["route_file"]],
                "admins": [stack.envoy["admin"]],
            },
            "steps": self.steps,
            "metrics": [
                {
                    "name": "errors",
                    "kind": "ratio",
                    "template": "envoy",
                    "margin": self.margin,
                    "no_harm": self.no_harm,
                    "max": 0.06,
                },
                {
                    "name": "latency",
                    "kind": "latency",
                    "template": "envoy",
                    "margin": self.margin,
                    "no_harm": self.no_harm,
                    "objective": {"under": "500ms", "share": 0.99},
                },
            ],
            "policy": {"look": self.look, "no_history": "roll_back", "no_data_limit": "30s", "max_extension": "60s"},
            "promotion": {"bake": "4s", "rollback_window": "0s"},
            "people": {"oncall": [APPROVER]},
            "ledger": {"path": f"{stack.folder}/ledger"},
            "sources": {"prometheus": {"url": stack.prometheus["url"], "scrape": "1s", "flush": "1s"}},
        }


def releases() -> list[Release]:
    """All four, in order: the service's noise, a good release, and two bad ones."""
    plain = [{"weight": 5, "for": "8s"}, {"weight": 25, "for": "8s"}, {"weight": 50, "for": "20s"}]
    gate = {"name": GATE, "approval": {"by": ["oncall"], "timeout": "1m"}}
    return [
        Release(
            name="same code (history)",
            version="1.0.1",
            expected="promoted",
            behaviour=HEALTHY,
            steps=[{"weight": 50, "for": "60s"}],
            look="1s",
            # Nothing is known of the service yet, and all this one is for is to learn it.
            margin=3,
            no_harm=4,
        ),
        Release(
            name="good release",
            version="1.1.0",
            expected="promoted",
            behaviour=HEALTHY,
            steps=[
                {"weight": 5, "for": "6s"},
                {"weight": 20, "for": "6s"},
                {"weight": 50, "for": "8s", "gate": gate},
                {"weight": 75, "for": "6s"},
            ],
            approve=True,
        ),
        Release(
            name="5x the errors",
            version="1.2.0",
            expected="rolled_back",
            behaviour=replace(HEALTHY, errors=5 * HEALTHY.errors),
            steps=plain,
        ),
        Release(
            name="p99 +40 %",
            version="1.3.0",
            expected="rolled_back",
            behaviour=with_p99(HEALTHY, 1.4),
            steps=plain,
        ),
    ]


def as_yaml(spec: dict[str, Any]) -> str:
    """A spec as a file for people to look at; JSON is YAML."""
    return json.dumps(spec, indent=2) + "\n"
