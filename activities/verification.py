"""The activity that checks who signed a decision, by the worker's keys."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

from temporalio import activity

from activities.key_sets import KeySets
from coalmine.errors import InputError
from coalmine.identity.claims import Decided
from coalmine.identity.keys import KEYS_VARIABLE, VerifyingKey, read_jwks
from coalmine.identity.verification import BadToken, kid_of, verify
from coalmine.records import VERIFY_DECISION, Identity, VerifyRequest

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
            keys = await self._keys(request.token)
            decided = Decided(
                request.verb, request.rollout_id, request.reason, request.gate, request.attempt, request.break_glass
            )
            found = verify(request.token, decided, keys, request.at)
        except (BadToken, InputError) as error:
            return Identity(reason=str(error))
        return Identity(
            person=found.person,
            groups=list(found.groups),
            key=found.kid,
            token_id=found.token_id,
            expires=found.expires,
        )

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
