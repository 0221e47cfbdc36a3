"""``--auth none``: everyone reads; nobody acts, unless one name was given for all who reach this machine's loopback."""

from __future__ import annotations

from starlette.requests import Request

from coalmine.dashboard.people import Person


class Nobody:
    """Nobody proves anything."""

    mode = "none"
    anyone_reads = True

    def __init__(self, act_as: str | None = None) -> None:
        """``act_as``: who all are taken for (``--insecure-act-as``)."""
        self._person = Person(act_as) if act_as else None

    async def who(self, request: Request) -> Person | None:
        """The one name, if one was given."""
        return self._person

    def login(self, back_to: str) -> str | None:
        """Nowhere."""
        return None
