"""What ``coalmine doctor SPEC`` says of the route of a world."""

from __future__ import annotations

from typing import Any

from coalmine.cli import _spec_health
from coalmine.spec.canary import CanarySpec
from coalmine.testing.router_world import RouterWorld

SPEC: dict[str, Any] = {
    "service": "shop", "environment": "production",
    "steps": [{"weight": 10, "for": "10m"}],
    "metrics": [{"name": "errors", "kind": "ratio", "max": 0.02, "total": 'all{b="{arm.backend}"}',
                 "events": 'bad{b="{arm.backend}"}'}],
    "sources": {"prometheus": {"url": "http://127.0.0.1:9"}},
}  # fmt: skip


async def write_line(world: RouterWorld, router: str) -> tuple[bool, str, str]:
    """Its last line: whether the route could be written."""
    names = {"baseline": world.backends.stable, "canary": world.backends.canary}
    arms = {arm: {"version": name, "backend": name} for arm, name in names.items()}
    spec = CanarySpec.model_validate({**SPEC, "arms": arms, "route": {**world.route.model_dump(), "router": router}})
    written, told = await _spec_health._rehearsed(world.workers[0], spec, list(names.values()))
    health = _spec_health.RouteHealth(reached=True, read=True, written=written, reason=told)
    return _spec_health.route_lines(health, "route")[-1]
