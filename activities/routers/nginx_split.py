"""The file nginx includes for a route: a ``split_clients`` block, and a variable that says which one the process runs.

``split_clients`` hashes its key to 32 bits and cuts the range at hundredths of a percent. Block and variable are of one
file, so a process that shows the version runs the split.
Source: https://nginx.org/en/docs/http/ngx_http_split_clients_module.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from activities.routers.splits import Reading, Shown, Split, Terms, Version
from activities.routers.weights import TOTAL
from coalmine.errors import RouteRejected
from coalmine.spec.route_files import nginx_backend_problem, nginx_name_problem

NGINX = Terms("upstream", "its split_clients block, such as * NAME;")
_BLOCK = re.compile(r"split_clients\s+(?P<key>\"[^\"]*\"|'[^']*'|[^\s{]+)\s+\$(?P<name>\w+)\s*\{(?P<body>[^{}]*)\}")
_SHARE = re.compile(r"(?P<share>\*|[0-9]{1,3}(?:\.[0-9]{1,2})?%)\s+(?P<value>\"[^\"]*\"|[^\s\";]+)\s*;")
_COMMENT = re.compile(r"#[^\n]*")


class NginxSplit:
    """A file that was read: its one ``split_clients`` block and its version are written, all else stays."""

    def __init__(self, path: str, text: str, name: str) -> None:
        self._path = path
        self._text = text
        self._name = name
        if problem := nginx_name_problem(name):
            raise RouteRejected(f"route.name: {problem}")
        bare = _COMMENT.sub(lambda found: " " * len(found[0]), text)
        blocks = list(_BLOCK.finditer(bare))
        if [block["name"] for block in blocks] != [name]:
            found = ", ".join(f"${block['name']}" for block in blocks) or "none"
            raise RouteRejected(
                f"{path}: must hold one split_clients block, of the route's variable ${name} (it has {found}): write "
                f'split_clients "${{request_id}}" ${name} {{ * UPSTREAM; }}'
            )
        self._block = blocks[0]
        shown = re.compile(rf"map\s+\"\"\s+\${re.escape(name)}_route\s*\{{\s*default\s+\"(?P<text>[^\"]*)\"\s*;\s*\}}")
        match = shown.search(bare)
        if match is None:
            raise RouteRejected(
                f'{path}: does not say what the process runs: write map "" ${name}_route {{ default "0"; }} beside the '
                "block, and return it at route.proxies' status"
            )
        self._map = match
        self._shares = self._parse(self._block["body"])
        # It stays the fence where somebody has changed the block under it: no process shows the block's shares then.
        self._version = Version(match["text"].partition(" ")[0])

    def reading(self) -> Reading:
        """What it says now."""
        split = split_of(self._shares)
        return Reading(self._path, self._version, (split,), split.clusters)

    def set_weights(self, units: Mapping[str, int]) -> int:
        """Cut anew, in the order upstreams have already: whose key is a user's keeps their arm while it grows."""
        for backend in units:
            if problem := nginx_backend_problem(backend):
                raise RouteRejected(problem)
        there = [name for name, _ in self._shares]
        order = [*(name for name in there if name in units), *(name for name in units if name not in there)]
        self._shares = [(name, units[name]) for name in order if units[name]]
        return 1

    def stamp(self, generation: int) -> None:
        """Write the version for this generation."""
        self._version = Version.of(generation, told(self._shares))

    def render(self) -> str:
        """The text of the file."""
        lines = [f"    {units / 100:.2f}% {name};" for name, units in self._shares[:-1]]
        body = "\n".join(["", *lines, f"    * {self._shares[-1][0]};", ""])
        shown = f"{self._version.text} {told(self._shares)}"
        text = self._text
        # From the end, so that the first change does not move the second.
        changes = [(self._block.span("body"), body), (self._map.span("text"), shown)]
        for (start, end), new in sorted(changes, reverse=True):
            text = text[:start] + new + text[end:]
        return text

    def _parse(self, body: str) -> list[tuple[str, int]]:
        rest = _SHARE.sub("", body).strip()
        if rest:
            raise RouteRejected(f"{self._path}: {rest!r} in split_clients is no share: write 10% NAME; or * NAME;")
        shares: dict[str, int] = {}
        left = TOTAL
        for match in _SHARE.finditer(body):
            units = left if match["share"] == "*" else round(float(match["share"][:-1]) * 100)
            left -= units
            name = match["value"].strip('"')
            shares[name] = shares.get(name, 0) + units
        if left:
            raise RouteRejected(f"{self._path}: split_clients leaves {left / 100:g} % to nobody: end it with * NAME;")
        return list(shares.items())


def told(shares: Sequence[tuple[str, int]]) -> str:
    """The shares as the process shows them."""
    return " ".join(f"{name}={units}" for name, units in shares)


def understood(text: str, reading: Reading | None) -> Shown:
    """The route a process shows. A version that is not ours tells no shares: they are those of the file that has it.

    Raises:
        ValueError: the text is not one of ours.
    """
    version, _, rest = text.strip().partition(" ")
    if rest:
        pairs = [pair.rpartition("=") for pair in rest.split(" ")]
        return Shown(Version(version), (split_of([(name, int(units)) for name, _, units in pairs]),))
    if reading is not None and reading.version.text == version:
        return Shown(Version(version), reading.splits)
    if not version:
        raise ValueError("it is empty")
    return Shown(Version(version))


def split_of(shares: Sequence[tuple[str, int]]) -> Split:
    """The block as a split."""
    return Split("split_clients", tuple(shares), weighted=True)
