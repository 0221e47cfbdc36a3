"""Bearer tokens for the API: those of issuers that are trusted by name, as ``COALMINE_DECISION_ISSUERS`` lists them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from starlette.requests import Request

from activities.key_sets import KeySets
from coalmine.dashboard.people import Denied, Person
from coalmine.errors import InputError
from coalmine.identity.issuers import (
    ISSUERS_VARIABLE,
    LONGEST_CI_LIFETIME,
    Issuer,
    issuers_of,
    person_of,
    read_issuer_keys,
)
from coalmine.identity.verification import BadToken, kid_of

_BEARER = re.compile(r"Bearer +([A-Za-z0-9._~+/=-]+) *", re.IGNORECASE)


class Bearer:
    """Who a token is, by the keys of its issuer."""

    def __init__(self, issuers: Sequence[Issuer], key_sets: KeySets | None = None) -> None:
        self._issuers = issuers
        self._sets = key_sets or KeySets()

    async def who(self, request: Request) -> Person | None:
        """The token's person; None when there is no token.

        Raises:
            Denied: there is one, and it proves nothing; says why.
        """
        given = request.headers.get("authorization")
        if given is None:
            return None
        token = _BEARER.fullmatch(given)
        if token is None:
            raise Denied(401, "Authorization: write 'Bearer' and a token")
        if not self._issuers:
            raise Denied(401, "this server trusts no issuer of tokens: name some with --api-issuers")
        return await self._person(token[1])

    async def _person(self, token: str) -> Person:
        reasons: list[str] = []
        for issuer in issuers_of(token, self._issuers):
            try:
                keys = await self._sets.keys(issuer.jwks, kid_of(token), read_issuer_keys, ISSUERS_VARIABLE)
                found = person_of(token, issuer, keys, datetime.now(UTC), LONGEST_CI_LIFETIME)
            except (BadToken, InputError) as error:
                reasons.append(str(error))
            else:
                return Person(found.person, found.groups, "token", frozenset(issuer.verbs))
        raise Denied(401, "; or ".join(dict.fromkeys(reasons)) or "the token is of no issuer that is trusted here")
