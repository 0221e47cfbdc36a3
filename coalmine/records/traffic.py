"""The route: what it shows, what is asked of it, what it can do."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from coalmine.records.base import Record, RolloutContext, Weights
from coalmine.spec.canary import Arms, Route
from coalmine.spec.durations import Duration


class ProxyState(Record):
    """What one proxy shows of a route."""

    proxy: str
    ok: bool = True
    generation: int = 0
    weights: Weights = {}
    detail: str = ""


class RouteState(Record):
    """A route as it was read back. ``generation`` is the highest any proxy or the file shows."""

    weights: Weights
    generation: int
    proxies: list[ProxyState] = []


class Confirmation(Record):
    """Whether every proxy shows a generation."""

    answer: Literal["yes", "no", "unsupported"]
    reason: str = ""
    proxies: list[ProxyState] = []


class Capabilities(Record):
    """What a router can do."""

    fencing: Literal["strict", "advisory"]
    granularity: float
    """Smallest step of a weight, in percent; of ``Router.able`` the smallest that any route can have."""
    step: str = ""
    """The smallest step in words, where it is each route's own."""
    lease: float = 0.0
    """Seconds for which an older write can still come through, where fencing is advisory."""
    confirm: bool = True
    """Whether it can tell that every proxy shows a generation."""
    header_match: bool = False
    """Whether it can send requests with a header to an arm, past the weights."""
    cookie_match: bool = False
    """The same for a cookie."""
    mirror: bool = False
    """Whether it can send a copy of requests to a backend whose answers nobody gets."""
    stickiness: bool = False
    """Whether it can keep a user on the arm they had, while the canary grows."""
    tested_against: str = ""
    """What the adapter's contract ran against: a real data plane by name and version, or a stand-in, and which."""


DRY_RUN = "dry run"
"""The name of a router's check that has rehearsed a write."""
NO_DRY_RUN = "no dry run"
"""The name of a router's check that could not rehearse a write, and says so."""


class Check(Record):
    """One admission check with its reason."""

    ok: bool
    name: str
    reason: str = ""


class RouteRequest(Record):
    """Name the route to read. ``backends`` are those whose weights are asked for, when it has more."""

    route: Route
    backends: list[str] = []
    context: RolloutContext | None = None


class RouteWatch(Record):
    """A route and the weights its owner has written last."""

    route: Route
    weights: Weights


class Drift(Record):
    """What a route shows instead of what its owner has written."""

    weights: Weights
    generation: int
    """The highest that is shown anywhere."""


class RouteCheckRequest(Record):
    """Ask whether a route can carry these weights for these backends, before anything is written."""

    route: Route
    arms: Arms
    weights: list[float]
    context: RolloutContext | None = None


class RouteChecks(Record):
    """What the router says of a route before the first write."""

    checks: list[Check]
    lease: float = 0.0
    """Of an advisory router, in seconds; 0 where the fence is strict."""


class ShiftRequest(Record):
    """Absolute weights under a generation; applying it twice is applying it once."""

    weights: Weights
    generation: int
    route: Route
    restoring: bool = False
    """It is the way back: one proxy that sees no healthy endpoint must not keep the others from it."""
    confirm_within: Duration = timedelta(seconds=5)
    context: RolloutContext | None = None
