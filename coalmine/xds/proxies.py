"""The Envoys that are connected, or were until a moment ago, and what each has of a route."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from activities.routers.splits import Version
from activities.routers.xds_answers import ProxyAnswer
from coalmine.xds.subscription import Served, Subscription


@dataclass(eq=False)
class Connection:
    """One stream of one proxy."""

    node: str
    address: str
    subscription: Subscription = field(default_factory=Subscription)
    due: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when there may be something to send."""
    foreign: set[str] = field(default_factory=set)
    """Types of resources it asks for that are not served here."""


@dataclass(frozen=True)
class _Lost:
    at: float
    address: str
    wanted: frozenset[str]


class Proxies:
    """All of them. One instance belongs to one event loop."""

    def __init__(self, forget: float) -> None:
        """A lost proxy is told of for ``forget`` seconds: until then it may be one that still serves an old route."""
        self._forget = forget
        self._connections: list[Connection] = []
        self._lost: dict[str, _Lost] = {}
        self._decided = asyncio.Condition()

    def __len__(self) -> int:
        """How many streams there are."""
        return len(self._connections)

    def __iter__(self) -> Iterator[Connection]:
        return iter(self._connections)

    @contextmanager
    def connected(self, node: str, address: str) -> Iterator[Connection]:
        """A stream, for as long as it lasts."""
        connection = Connection(node, address)
        self._lost.pop(node, None)
        self._connections.append(connection)
        try:
            yield connection
        finally:
            self._connections.remove(connection)
            wanted = connection.subscription.wanted
            if all(other.node != node for other in self._connections):
                self._lost[node] = _Lost(time.monotonic(), address, wanted)

    def expect(self, known: Mapping[str, Sequence[str]]) -> None:
        """Take these, with the routes they asked for, for lost just now: a control plane before this one had them."""
        self._lost |= {node: _Lost(time.monotonic(), "", frozenset(names)) for node, names in known.items()}

    @property
    def known(self) -> dict[str, list[str]]:
        """Every proxy that is connected or not yet forgotten, and the routes it asks for."""
        wanted = {node: set(lost.wanted) for node, lost in self._remembered().items()}
        for one in self._connections:
            wanted.setdefault(one.node, set()).update(one.subscription.wanted)
        return {node: sorted(names) for node, names in sorted(wanted.items())}

    def changed(self) -> None:
        """Routes have changed: every stream looks whether it is due."""
        for connection in self._connections:
            connection.due.set()

    async def heard(self) -> None:
        """A proxy has said something, or has gone: whoever waits for verdicts looks again."""
        async with self._decided:
            self._decided.notify_all()

    async def verdicts(
        self, served: Served, routes: Callable[[], Mapping[str, Served]], patience: float
    ) -> dict[str, str]:
        """Wait until every proxy that asks for the route has taken or refused it; by node, the words of a refusal.

        Args:
            served: what was written.
            routes: says what is served now; when that is another one, nobody will hear of ``served`` any more.
            patience: seconds after which the others are no longer waited for.
        """
        try:
            async with asyncio.timeout(patience), self._decided:
                await self._decided.wait_for(lambda: not self._open(served) or routes().get(served.name) != served)
        except TimeoutError:
            pass
        return self.refusals(served)

    def refusals(self, served: Served) -> dict[str, str]:
        """By node, the words of those that refused this."""
        return {
            connection.node: connection.subscription.refused[served.name][1]
            for connection in self._connections
            if connection.subscription.verdict(served) == "refused"
        }

    def answers(self, name: str) -> list[ProxyAnswer]:
        """What each proxy has of a route; also those that do not ask for it, and those that were lost of late."""
        now = time.monotonic()
        by_node: dict[str, list[Connection]] = {}
        for connection in self._connections:
            by_node.setdefault(connection.node, []).append(connection)
        told = [_answer(name, node, connections) for node, connections in by_node.items()]
        told += [
            ProxyAnswer(
                node=node, connections=0, address=lost.address, lost_for=now - lost.at, asks=name in lost.wanted
            )
            for node, lost in self._remembered().items()
            if node not in by_node
        ]
        return sorted(told, key=lambda one: one.node)

    def _remembered(self) -> dict[str, _Lost]:
        now = time.monotonic()
        self._lost = {node: lost for node, lost in self._lost.items() if now - lost.at < self._forget}
        return self._lost

    def _open(self, served: Served) -> bool:
        return any(
            served.name in connection.subscription.wanted and connection.subscription.verdict(served) == "open"
            for connection in self._connections
        )


def _answer(name: str, node: str, connections: list[Connection]) -> ProxyAnswer:
    """Of several that call themselves alike, the one that is furthest behind."""
    asking = [one for one in connections if name in one.subscription.wanted]
    has = [one.subscription.has.get(name) for one in asking]
    behind = min(has, key=lambda served: Version(served.version).generation if served else -1, default=None)
    refused = [one.subscription.refused[name][1] for one in asking if name in one.subscription.refused]
    return ProxyAnswer(
        node=node,
        connections=len(connections),
        address=", ".join(one.address for one in connections),
        asks=bool(asking),
        version=behind.version if behind else None,
        splits=behind.splits if behind else (),
        refused=refused[0] if refused else "",
    )
