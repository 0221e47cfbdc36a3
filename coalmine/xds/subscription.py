"""What one proxy asked for on one stream, what it was sent, and what it said of that: the state-of-the-world protocol.

One route a response, and one response at a time: so each acknowledgement, and each refusal, is of one route.
Source: https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from activities.routers.splits import Split

UNSAID = "it did not say why"


@dataclass(frozen=True)
class Served:
    """A route as proxies are sent it."""

    name: str
    version: str
    content: bytes
    """The RouteConfiguration in protobuf's form."""
    splits: tuple[Split, ...] = ()


@dataclass(frozen=True)
class Response:
    """One answer on its way: Envoy says of it, by its nonce, whether it took it."""

    nonce: str
    served: Served


class Subscription:
    """The routes of one stream."""

    def __init__(self) -> None:
        self.wanted: frozenset[str] = frozenset()
        self.has: dict[str, Served] = {}
        """By name, what it took last."""
        self.refused: dict[str, tuple[Served, str]] = {}
        """By name, what it refused after that, and its words."""
        self._sent: dict[str, Served] = {}
        self._waiting: Response | None = None
        self._count = 0

    def heard(self, names: Sequence[str], version: str, nonce: str, error: str | None) -> None:
        """One request: ``nonce`` is empty at first; ``error`` is None unless it refuses.

        What it asks for counts whatever it speaks of; what it says of an answer counts for the last one only.
        """
        if self._waiting is not None and nonce == self._waiting.nonce:
            self._decide(self._waiting.served, version, error)
        self.wanted = frozenset(names)
        for kept in (self.has, self.refused, self._sent):
            for name in set(kept) - self.wanted:
                del kept[name]

    def next(self, routes: Mapping[str, Served]) -> Response | None:
        """What it is to be sent now; None while it has not answered the last, or has everything."""
        if self._waiting is not None:
            return None
        for name in sorted(self.wanted):
            served = routes.get(name)
            if served is not None and self._sent.get(name) != served:
                self._count += 1
                self._sent[name] = served
                self._waiting = Response(str(self._count), served)
                return self._waiting
        return None

    def verdict(self, served: Served) -> Literal["taken", "refused", "open"]:
        """What became of a route that is served."""
        if self.has.get(served.name) == served:
            return "taken"
        refused = self.refused.get(served.name)
        return "refused" if refused is not None and refused[0] == served else "open"

    def _decide(self, served: Served, version: str, error: str | None) -> None:
        if error is not None:
            self.refused[served.name] = (served, error or UNSAID)
        elif version == served.version:
            self.has[served.name] = served
            self.refused.pop(served.name, None)
        else:
            # It asks for more while it still reads the answer.
            return
        self._waiting = None
