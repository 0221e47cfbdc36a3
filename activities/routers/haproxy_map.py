"""The map HAProxy deals requests by: ranges of 0 to 9999 and the backend each goes to, in a file and in the process.

``use_backend %[rand(10000),map_int(/etc/haproxy/maps/shop.map)]`` reads it. One request draws one number, so shares
are exact to 0.01 %. A key beyond the draw carries our version. Source: HAProxy 2.6, configuration manual, 7.3.1 (map).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from activities.routers.splits import Reading, Shown, Split, Terms, Version
from activities.routers.weights import TOTAL
from coalmine.errors import RouteRejected
from coalmine.spec.route_files import haproxy_backend_problem, haproxy_file_problem

HAPROXY = Terms("backend", "a line of its map, such as 0:9999 NAME")
VERSION_KEY = str(TOTAL)
"""The first number nobody draws."""
_LINE = re.compile(r"(?P<key>[0-9]+(?::[0-9]+)?)[ \t]+(?P<value>\S+)[ \t]*")


class HAProxyMap:
    """A map file that was read. Comments and blank lines before the first entry stay."""

    def __init__(self, path: str, text: str, name: str) -> None:
        if problem := haproxy_file_problem(path, name):
            raise RouteRejected(problem)
        self._path = path
        lines = text.splitlines()
        first = next((place for place, line in enumerate(lines) if line.strip() and line[0] != "#"), len(lines))
        self._head = lines[:first]
        try:
            self._shown = understood(line for line in lines[first:] if line.strip() and line[0] != "#")
        except RouteRejected as error:
            raise RouteRejected(f"{path}: {error}") from error

    def reading(self) -> Reading:
        """What it says now."""
        version = self._shown.version or Version("")
        return Reading(self._path, version, self._shown.splits, self._shown.splits[0].clusters)

    def set_weights(self, units: Mapping[str, int]) -> int:
        """Deal the numbers anew, in the order backends have already: who draws by a user's hash keeps their arm."""
        for backend in units:
            if problem := haproxy_backend_problem(backend):
                raise RouteRejected(problem)
        there = [name for name, _ in self._shown.splits[0].shares]
        order = [*(name for name in there if name in units), *(name for name in units if name not in there)]
        self._shown = Shown(None, (_split([(name, units[name]) for name in order if units[name]]),))
        return 1

    def stamp(self, generation: int) -> None:
        """Write the version for this generation."""
        content = "\n".join(ranges(self._shown.splits[0]))
        version = Version.with_weights(generation, content, self._shown.splits)
        self._shown = Shown(version, self._shown.splits)

    def render(self) -> str:
        """The text of the file."""
        return "\n".join([*self._head, *entries(self.reading())]) + "\n"


def entries(reading: Reading) -> list[str]:
    """The map's entries, ``KEY VALUE``, as the file and the process have them."""
    version = [f"{VERSION_KEY} {reading.version.text}"] if reading.version.text else []
    return [*ranges(reading.splits[0]), *version]


def ranges(split: Split) -> list[str]:
    """The numbers of every backend that gets traffic, ``FIRST:LAST NAME``."""
    lines: list[str] = []
    start = 0
    for name, units in split.shares:
        lines.append(f"{start}:{start + units - 1} {name}")
        start += units
    return lines


def understood(lines: Iterable[str]) -> Shown:
    """The route that entries tell of.

    Raises:
        RouteRejected: they are not ours to write: a key twice or beyond the draw, or numbers that nobody gets.
    """
    version = Version("")
    shares: dict[str, int] = {}
    drawn: list[tuple[int, int]] = []
    for line in lines:
        match = _LINE.fullmatch(line)
        if match is None:
            raise RouteRejected(
                f"{line!r} is no entry of a route's map: write FIRST:LAST BACKEND, such as 0:9999 shop-v1"
            )
        if match["key"] == VERSION_KEY:
            version = Version(match["value"])
            continue
        first, _, last = match["key"].partition(":")
        low, high = int(first), int(last or first)
        drawn.append((low, high))
        shares[match["value"]] = shares.get(match["value"], 0) + high - low + 1
    drawn.sort()
    if [*(low for low, _ in drawn), TOTAL] != [0, *(high + 1 for _, high in drawn)]:
        raise RouteRejected(
            f"the numbers 0 to {TOTAL - 1} must each stand in it once: begin with 0:{TOTAL - 1} BACKEND"
        )
    return Shown(version, (_split(list(shares.items())),))


def version_in(lines: Iterable[str]) -> Version:
    """Our version among entries, whatever the others are."""
    found = (match["value"] for line in lines if (match := _LINE.fullmatch(line)) and match["key"] == VERSION_KEY)
    return Version(next(found, ""))


def _split(shares: list[tuple[str, int]]) -> Split:
    return Split("map", tuple(shares), weighted=True)
