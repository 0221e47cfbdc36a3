"""Whose address a request came from: what ``X-Forwarded-For`` says counts from a trusted proxy, and only its end."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from coalmine.dashboard.auth.header import read_peers
from coalmine.dashboard.clients import client_of

PROXIES = read_peers(["10.0.0.0/24"])


def asked(peer: str, *said: str) -> Request:
    """A request from there; each of ``said`` is one header of its own."""
    return Request(
        {"type": "http", "client": (peer, 1), "headers": [(b"x-forwarded-for", one.encode()) for one in said]}
    )


@pytest.mark.parametrize(
    ("said", "client"),
    [
        (["192.0.2.1"], "192.0.2.1"),
        # What stands before what a proxy adds was written by whoever asked.
        (["192.0.2.9, 192.0.2.1"], "192.0.2.1"),
        (["192.0.2.9", "192.0.2.1"], "192.0.2.1"),
        (["192.0.2.1, 10.0.0.8, ::ffff:10.0.0.9"], "192.0.2.1"),
        (["2001:DB8::1"], "2001:db8::1"),
        (["192.0.2.9, unknown"], None),
        (["10.0.0.8"], None),
        ([], None),
    ],
)
@pytest.mark.parametrize("peer", ["10.0.0.5", "::ffff:10.0.0.5"])
def test_of_a_trusted_proxy_the_last_address_that_is_no_proxy_counts(
    peer: str, said: list[str], client: str | None
) -> None:
    assert client_of(asked(peer, *said), PROXIES) == client


@pytest.mark.parametrize("peer", ["192.0.2.66", "::ffff:192.0.2.66", "testclient", ""])
def test_nobody_else_chooses_the_address_their_failures_are_counted_for(peer: str) -> None:
    assert client_of(asked(peer, "192.0.2.1"), PROXIES) is None
    assert client_of(asked(peer, "192.0.2.1"), []) is None
