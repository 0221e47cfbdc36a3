"""Whose address a request came from: the peer's, or what a proxy that is trusted says of the one it asks for."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from starlette.requests import Request

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
FORWARDED = "X-Forwarded-For"


def is_within(address: str, networks: Sequence[Network]) -> bool:
    """Whether an address is in one of the networks; what is no address is in none."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return any((mapped or found) in network for network in networks)


def peer_of(request: Request) -> str:
    """The address at the other end of the connection; behind a proxy it is the proxy's."""
    return request.client.host if request.client else ""


def client_of(request: Request, proxies: Sequence[Network]) -> str | None:
    """The address of whoever asked a proxy; None when no trusted proxy says it, and the peer may stand for many.

    Each proxy adds at the end whom it was asked by, and what stands before that anyone can have written: so it is the
    last address that is no proxy's own.
    """
    if not is_within(peer_of(request), proxies):
        return None
    said = [part.strip() for line in request.headers.getlist(FORWARDED) for part in line.split(",")]
    for address in reversed(said):
        if is_within(address, proxies):
            continue
        try:
            return str(ipaddress.ip_address(address))
        except ValueError:
            return None
    return None
