"""Who is there: a person that somebody proved, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from starlette.requests import Request


@dataclass(frozen=True)
class Person:
    """Somebody who may act."""

    name: str
    groups: tuple[str, ...] = ()
    proved_by: str = ""
    """``proxy`` ``oidc`` ``token``; empty: nobody proved it, the server was told to take their word."""
    verbs: frozenset[str] | None = None
    """What their proof is good for, ``start`` among them; None: everything."""


class Denied(Exception):
    """A request that is not answered, with its HTTP status; the text is for people."""

    def __init__(self, status: int, reason: str, wait: int | None = None) -> None:
        """``wait``: seconds until it makes sense to ask again, where that is known."""
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.wait = wait


class Access(Protocol):
    """One way to know who asks."""

    mode: str
    """As ``--auth`` names it."""
    anyone_reads: bool
    """Pages are shown to people nobody knows."""

    async def who(self, request: Request) -> Person | None:
        """Who asks; None: nobody knows.

        Raises:
            Denied: it came on a way that is not allowed.
        """
        ...

    def login(self, back_to: str) -> str | None:
        """Where somebody who is not known goes to prove who they are; None: they cannot do it here."""
        ...
