"""The activity that checks who signed a decision, by the worker's keys."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

from temporalio import activity

from coalmine.errors import InputError
from coalmine.identity.claims import Decided
from coalmine.identity.keys import KEYS_VARIABLE, VerifyingKey, read_jwks
from coalmine.identity.verification import BadToken, verify
from coalmine.records import VERIFY_DECISION, Identity, VerifyRequest

LARGEST_FILE = 1_000_000
"""Bytes."""


class VerificationActivities:
    """Checking signatures. The keys are read at every decision, so that a key taken away counts no more at once."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = os.environ if environ is None else environ

    @activity.defn(name=VERIFY_DECISION.name)
    async def verify_decision(self, request: VerifyRequest) -> Identity:
        """Who signed it; what cannot be verified is an answer without a person, never an error."""
        try:
            keys = await asyncio.to_thread(self._keys)
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

    def _keys(self) -> Mapping[str, VerifyingKey]:
        path = self._environ.get(KEYS_VARIABLE, "")
        if not path:
            raise InputError(f"the worker has no keys to verify with: set {KEYS_VARIABLE} to a JWKS file")
        try:
            with Path(path).open("rb") as file:
                raw = file.read(LARGEST_FILE + 1)
            text = raw.decode()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is no text file"
            raise InputError(f"{KEYS_VARIABLE}: {path} cannot be read: {why}") from None
        if len(raw) > LARGEST_FILE:
            raise InputError(f"{KEYS_VARIABLE}: {path} has more than {LARGEST_FILE:,} bytes")
        return read_jwks(text, f"{KEYS_VARIABLE}: {path}")
