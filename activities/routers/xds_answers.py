"""What a control plane (``coalmine xds``) and its router say to each other, as JSON."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from activities.routers.splits import Reading, Shown, Split, Version
from coalmine.records import Weights
from coalmine.spec.route_users import Mirror, PinnedTesters, Sticky


class ProxyAnswer(BaseModel):
    """One Envoy, as the control plane knows it: what it took last of the route, and what it said of the one it did not.

    ``version`` is None until it has taken one since it connected. ``connections``: how many call themselves so.
    """

    node: str
    connections: int
    address: str = ""
    lost_for: float = 0.0
    """Seconds since its last connection ended; 0 while it has one."""
    asks: bool = True
    """Whether it asks for this route at all."""
    version: str | None = None
    splits: tuple[Split, ...] = ()
    refused: str = ""
    """Envoy's own words."""

    @property
    def shown(self) -> Shown:
        """The route as it has it."""
        return Shown(Version(self.version) if self.version is not None else None, self.splits, refused=self.refused)


class RouteAnswer(BaseModel):
    """A route as its file says it now, and every Envoy that asks for it, or did until a moment ago."""

    route: Reading
    proxies: list[ProxyAnswer]


class Asking(BaseModel):
    """What a route asks for besides weights."""

    model_config = ConfigDict(extra="forbid")

    sticky: Sticky | None = None
    testers: PinnedTesters | None = None
    mirror: Mirror | None = None


class Wanted(Asking):
    """Absolute weights, percent by cluster, and the generation that is compared before they are written."""

    weights: Weights
    generation: int


class Refused(BaseModel):
    """Why not: the name of an error of ``coalmine.errors``, and its words."""

    error: str
    reason: str
