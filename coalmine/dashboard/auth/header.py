"""``--auth header``: a proxy in front has proved who asks, and says so in a header. Only its address may say it."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from starlette.requests import Request

from coalmine.dashboard.clients import Network, is_within, peer_of
from coalmine.dashboard.people import Denied, Person
from coalmine.errors import InputError
from coalmine.identity.names import LONGEST_NAME


class ByHeader:
    """Believes a header that comes from one of the trusted peers, and nobody else at all."""

    mode = "header"
    anyone_reads = False

    def __init__(self, header: str, peers: Sequence[Network], groups_header: str | None = None) -> None:
        self._header = header
        self._groups_header = groups_header
        self._peers = tuple(peers)

    async def who(self, request: Request) -> Person | None:
        """Who the proxy says asks; None: it does not say."""
        if not is_within(peer_of(request), self._peers):
            raise Denied(403, "requests come through the proxy: this address is none of --trusted-peer")
        name = _only(request, self._header).strip(" \t")
        if not name:
            return None
        if len(name) > LONGEST_NAME or not name.isprintable():
            raise Denied(400, f"{self._header} is no name: 1 to {LONGEST_NAME} characters that can be shown")
        return Person(name, self._groups(request), "proxy")

    def login(self, back_to: str) -> str | None:
        """The proxy's business."""
        return None

    def _groups(self, request: Request) -> tuple[str, ...]:
        if self._groups_header is None:
            return ()
        said = _only(request, self._groups_header)
        return tuple(group.strip() for group in said.split(",") if group.strip())


def _only(request: Request, header: str) -> str:
    """What a header says; empty when it is not there. Twice: one of them may be the browser's own."""
    name = header.lower().encode("latin-1", "replace")
    said = [value for key, value in request.headers.raw if key.lower() == name]
    if len(said) > 1:
        raise Denied(400, f"{header} is there twice: the proxy has to replace what browsers send")
    return _text(said[0]) if said else ""


def _text(raw: bytes) -> str:
    """What a header's bytes mean: proxies send names as UTF-8; what is none is Latin-1, as HTTP once had it."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def read_peers(given: Sequence[str]) -> list[Network]:
    """Addresses and networks whose word counts.

    Raises:
        InputError: there are none, or one cannot be read.
    """
    if not given:
        raise InputError("--trusted-peer is missing: name the proxy's address, such as --trusted-peer 10.0.0.5")
    networks: list[Network] = []
    for text in given:
        try:
            networks.append(ipaddress.ip_network(text.strip(), strict=False))
        except ValueError:
            raise InputError(
                f"--trusted-peer: {text!r} is no address or network: write 10.0.0.5 or 10.0.0.0/24"
            ) from None
    return networks
