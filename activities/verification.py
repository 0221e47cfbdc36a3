"""The activity that checks who signed a decision, by the worker's keys."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from temporalio import activity

from activities.key_sets import KeySets
from coalmine.errors import InputError
from coalmine.identity.claims import Decided
from coalmine.identity.issuers import (
    ISSUERS_VARIABLE,
    Issuer,
    issuers_of,
    read_issuer_keys,
    read_issuers,
    verify_issued,
)
from coalmine.identity.keys import KEYS_VARIABLE, VerifyingKey, read_jwks
from coalmine.identity.verification import BadToken, Verified, check_signed_since, kid_of, verify
from coalmine.records import VERIFY_DECISION, Identity, Verb, VerifyRequest

LARGEST_FILE = 1_000_000
"""Bytes."""


class VerificationActivities:
    """Checking signatures. A file of keys is read at every decision: a key taken away counts no more at once."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = os.environ if environ is None else environ
        self._sets = KeySets()

    @activity.defn(name=VERIFY_DECISION.name)
    async def verify_decision(self, request: VerifyRequest) -> Identity:
        """Who signed it; what cannot be verified is an answer without a person, never an error."""
        try:
            found = await self._found(request)
            # The way back is never barred, and hearing it twice changes nothing.
            if request.reset_at is not None and request.verb not in (Verb.ROLLBACK, Verb.REJECT):
                check_signed_since(request.token, request.reset_at)
        except (BadToken, InputError) as error:
            return Identity(reason=str(error))
        return Identity(
            person=found.person,
            groups=list(found.groups),
            key=found.kid,
            token_id=found.token_id,
            expires=found.expires,
            issuer=found.issuer,
        )

    async def _found(self, request: VerifyRequest) -> Verified:
        issuers = issuers_of(request.token, await self._issuers())
        if issuers:
            return await self._issued(request, issuers)
        keys = await self._keys(request.token)
        decided = Decided(
            request.verb,
            request.rollout_id,
            request.reason,
            request.gate,
            request.attempt,
            request.break_glass,
            request.longer,
        )
        return verify(request.token, decided, keys, request.at)

    async def _issued(self, request: VerifyRequest, issuers: Sequence[Issuer]) -> Verified:
        if request.break_glass:
            raise BadToken("a token of CI does not break glass: a person signs that")
        reasons = []
        for issuer in issuers:
            keys = await self._sets.keys(issuer.jwks, kid_of(request.token), read_issuer_keys, ISSUERS_VARIABLE)
            try:
                return verify_issued(
                    request.token, issuer, keys, request.verb, request.workflow_id, request.at, request.since
                )
            except BadToken as error:
                reasons.append(str(error))
        raise BadToken("; or ".join(dict.fromkeys(reasons)))

    async def _issuers(self) -> Sequence[Issuer]:
        place = self._environ.get(ISSUERS_VARIABLE, "").strip()
        if not place:
            return []
        if place.startswith("["):
            return read_issuers(place, ISSUERS_VARIABLE)
        text = await asyncio.to_thread(_text_of, place, ISSUERS_VARIABLE)
        return read_issuers(text, f"{ISSUERS_VARIABLE}: {place}")

    async def _keys(self, token: str) -> Mapping[str, VerifyingKey]:
        place = self._environ.get(KEYS_VARIABLE, "").strip()
        if not place:
            raise InputError(f"the worker has no keys to verify with: set {KEYS_VARIABLE} to a JWKS file, or its URL")
        if "://" in place:
            return await self._sets.keys(place, kid_of(token), read_jwks, KEYS_VARIABLE)
        return read_jwks(await asyncio.to_thread(_text_of, place, KEYS_VARIABLE), f"{KEYS_VARIABLE}: {place}")


def _text_of(path: str, name: str) -> str:
    try:
        with Path(path).open("rb") as file:
            raw = file.read(LARGEST_FILE + 1)
        text = raw.decode()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text file"
        raise InputError(f"{name}: {path} cannot be read: {why}") from None
    if len(raw) > LARGEST_FILE:
        raise InputError(f"{name}: {path} has more than {LARGEST_FILE:,} bytes")
    return text
