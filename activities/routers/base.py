"""The router contract: tiny, and the truth is read back each time (docs/adapters.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from coalmine.records import Capabilities, Check, Confirmation, RouteState, Weights
from coalmine.spec.canary import Route


class Router(Protocol):
    """One data plane. Every method is idempotent and safe to call from two workers at once."""

    able: Capabilities
    """The most it can do for any route."""

    async def capabilities(self, route: Route) -> Capabilities:
        """What it can do for this route.

        Raises:
            RouteRejected: the route's own keys are wrong; names each.
        """
        ...

    async def check(self, route: Route, backends: Sequence[str], weights: Sequence[float]) -> list[Check]:
        """Everything that would make a step fail later: unknown backends, no healthy endpoint, too fine a weight.

        Args:
            route: the route.
            backends: what the router calls the arms.
            weights: percent the canary will get, by step.
        """
        ...

    async def read(self, route: Route, backends: Sequence[str] = ()) -> RouteState:
        """The route as every proxy shows it now.

        Args:
            route: the route.
            backends: those whose weights are asked for; without them the route must leave no choice.

        Raises:
            RouterUnreachable: a proxy did not answer.
            RouteRejected: the route does not exist or cannot be understood.
        """
        ...

    async def apply(self, route: Route, weights: Weights, generation: int, *, restoring: bool = False) -> RouteState:
        """Write absolute weights under ``generation`` and say what was written, and what each proxy shows of it.

        The same generation with the same weights does nothing. Weights are validated before anything is written;
        after a refusal of the data plane the last good weights are put back, under the refused generation.
        A proxy that does not answer stops nothing: ``confirm`` names it. When ``restoring``, one that sees a backend
        without a healthy endpoint does not keep the others from the way back; only when all see it so is it refused.

        Raises:
            StaleGeneration: the route carries a newer generation, or the same one with other weights.
            RouteRejected: validation or the data plane refused the weights.
            RouteUnconfirmed: only a part could be written; trying again writes the rest.
            RouterUnreachable: nothing is known to have been written.
        """
        ...

    async def confirm(self, route: Route, generation: int, backends: Sequence[str] = ()) -> Confirmation:
        """Whether every proxy shows ``generation`` (or a newer one is there: ``no``, with that reason).

        ``proxies`` says of each proxy what it shows, ``ok`` when it shows the generation; ``backends`` as in ``read``.
        """
        ...
