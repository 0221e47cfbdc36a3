"""The worker over an Envoy router without a fence: what a data plane is like that knows no generation.

Nothing of this is in the product; the real data planes of that kind are load balancers and DNS.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import worker
from activities.routers import envoy, file_router, route_files
from activities.routers.registry import BUILT_IN
from coalmine.records import Capabilities
from coalmine.spec.canary import Route

LEASE = 8.0


class AdvisoryEnvoy(envoy.EnvoyRouter):
    """Every write goes through, however old."""

    async def capabilities(self, route: Route) -> Capabilities:
        """No fence; an older write may come for eight seconds."""
        return Capabilities(fencing="advisory", granularity=0.01, lease=LEASE)


def _never(reading: Any, units: Mapping[str, int], generation: int) -> bool:
    return False


if __name__ == "__main__":
    file_router.is_written = _never  # type: ignore[attr-defined]
    route_files.is_written = _never
    BUILT_IN["envoy"] = AdvisoryEnvoy
    worker.entry()
