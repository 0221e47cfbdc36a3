"""What a route says, in a file or at a proxy, whatever the plane: who shares its traffic, under which generation."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from activities.routers.weights import percents
from coalmine.errors import RouteRejected
from coalmine.records import Weights

OURS = "coalmine"


@dataclass(frozen=True)
class Terms:
    """What a data plane calls what we call a backend, and where a route names those whose traffic moves."""

    backend: str
    naming: str


PLAIN = Terms("backend", "the entries whose traffic is to move")


@dataclass(frozen=True)
class Version:
    """``<generation>:<hash of the route>:coalmine``, as routes carry it; one that is not ours has generation 0.

    Where hands could change weights and leave it, a hash of the weights stands before ``coalmine``.
    """

    text: str

    @property
    def generation(self) -> int:
        """The fence in it."""
        generation, _, rest = self.text.partition(":")
        ours = rest.endswith(f":{OURS}") and generation.isascii() and generation.isdigit()
        return int(generation) if ours else 0

    @classmethod
    def of(cls, generation: int, content: str) -> Version:
        """Ours, for a route of this content."""
        return cls(f"{generation}:{_hash(content)}:{OURS}")

    @classmethod
    def with_weights(cls, generation: int, content: str, found: Collection[Split]) -> Version:
        """Ours, which also says whether these entries still have the weights they were written with."""
        return cls(f"{generation}:{_hash(content)}:{_hash(_shares_text(found))}:{OURS}")

    def fits(self, found: Collection[Split], backends: Collection[str] = ()) -> bool:
        """Whether the entries that name ``backends`` have the weights that were written.

        An older build's version says nothing of them. One of a route that was put back is of every entry.
        """
        parts = self.text.split(":")
        if not self.generation or len(parts) != 4:
            return True
        return parts[2] in (_hash(_shares_text(managed(found, backends))), _hash(_shares_text(managed(found, ()))))


@dataclass(frozen=True)
class Split:
    """One entry of a route, and the units each of its backends ("clusters") gets, in the proxy's order.

    ``weighted`` where it can share at all. ``runtime_key`` is set when Envoy's runtime may override the units, so that
    they need not be true.
    """

    where: str
    shares: tuple[tuple[str, int], ...]
    weighted: bool
    runtime_key: str = ""

    @property
    def clusters(self) -> frozenset[str]:
        """The clusters it names."""
        return frozenset(name for name, _ in self.shares)

    @property
    def live(self) -> Weights:
        """Percent by cluster, of those that get traffic."""
        return {name: weight for name, weight in self.weights().items() if weight}

    def weights(self, backends: Collection[str] = ()) -> Weights:
        """Percent by cluster; those of ``backends`` it does not name have 0, and all where all its units are zero."""
        units = dict(self.shares)
        shared = percents(units) if any(units.values()) else dict.fromkeys(units, 0.0)
        return {**dict.fromkeys(backends, 0.0), **shared}


@dataclass(frozen=True)
class Reading:
    """What a route file says, without the text around it."""

    path: str
    version: Version
    splits: tuple[Split, ...]
    clusters: frozenset[str]
    """All it names that stay with the next write."""


def meddled(reading: Reading, backends: Collection[str] = ()) -> str:
    """Why the weights of ``backends`` are not those that were written under a file's version; empty when they are."""
    if reading.version.fits(reading.splits, backends):
        return ""
    ours = managed(reading.splits, backends)
    shown = "; ".join(f"{split.where}: {_listed(split.live) or 'nobody'}" for split in ours) or "no entry names them"
    return (
        f"{reading.path}: carries generation {reading.version.generation} with other weights than were written "
        f"({shown}; {reading.version.text} was written for others)"
    )


class Document(Protocol):
    """A route file that was read: its weights can be changed, everything else stays as it was written.

    Made of path, text and the route's name; raises ``RouteRejected`` when it cannot be understood.
    """

    def reading(self) -> Reading:
        """What it says now."""
        ...

    def set_weights(self, units: Mapping[str, int]) -> int:
        """Change the weights of the entries that name these backends; returns how many there are."""
        ...

    def stamp(self, generation: int) -> None:
        """Write the version for this generation."""
        ...

    def render(self) -> str:
        """The text of the file."""
        ...


DocumentType = Callable[[str, str, str], Document]


@dataclass(frozen=True)
class Shown:
    """The route a proxy uses. ``version`` is None when it has none; ``problem``: why it serves nobody by it.

    ``refused`` is what it said of a newer one that it did not take.
    """

    version: Version | None
    splits: tuple[Split, ...] = ()
    problem: str = ""
    refused: str = ""

    @property
    def generation(self) -> int:
        """The fence it shows."""
        return self.version.generation if self.version else 0


class Silent(Exception):
    """Raised when a proxy did not answer, or not as one of its kind does; the message names it."""


def managed(found: Collection[Split], backends: Collection[str]) -> list[Split]:
    """The entries that name one of ``backends``; without any, those with weighted clusters, else all."""
    if backends:
        return [split for split in found if split.clusters & set(backends)]
    return [split for split in found if split.weighted] or list(found)


def agreed_weights(found: Collection[Split], backends: Collection[str], name: str, terms: Terms = PLAIN) -> Weights:
    """Percent by backend, the same in every managed entry.

    Raises:
        RouteRejected: no entry is managed, one gives nobody the traffic, or they share it differently.
    """
    ours = managed(found, backends)
    if not ours:
        raise RouteRejected(no_entry(name, backends, terms))
    if idle := [split.where for split in ours if not split.live]:
        raise RouteRejected(f"{', '.join(idle)}: all weights are zero: give one {terms.backend} the traffic")
    first = ours[0].live
    if any(split.live != first for split in ours):
        shown = "; ".join(f"{split.where}: {_listed(split.live)}" for split in ours)
        raise RouteRejected(
            f"the entries of route {name!r} share traffic differently ({shown}): give them equal weights, or give the "
            f"entries that are not to move {terms.backend}s of their own"
        )
    return ours[0].weights(backends)


def no_entry(name: str, backends: Collection[str], terms: Terms = PLAIN) -> str:
    """What to say when nothing in the route is ours."""
    if not backends:
        return f"route {name!r} sends no traffic to a {terms.backend}: name one in {terms.naming}"
    names = " or ".join(repr(backend) for backend in backends)
    return f"no entry of route {name!r} names {names}: name the {terms.backend}s in {terms.naming}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _shares_text(found: Collection[Split]) -> str:
    """The weights of entries, whichever those are: one more that shares alike changes nothing."""
    return "\n".join(sorted({repr(sorted(split.live.items())) for split in found}))


def _listed(weights: Weights) -> str:
    return ", ".join(f"{name} {weight:g} %" for name, weight in weights.items())
