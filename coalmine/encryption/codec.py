"""AES-256-GCM for every payload: inputs, results, signals, details of errors, summaries and what the UI shows.

An encrypted payload says in its metadata which key it needs. One that is not encrypted is read as it is, so that
encryption can be switched on while rollouts are under way.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError
from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DataConverter, PayloadCodec

from coalmine.encryption.keys import KEYS_VARIABLE, KeyRing
from coalmine.errors import MissingExtra, PayloadUnreadable
from coalmine.failure_converter import EncodedRedactingFailureConverter, RedactingFailureConverter

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

ENCODING = b"binary/encrypted"
"""The metadata ``encoding`` that Temporal's own samples and UI know."""
KEY_NAME = "encryption-key-id"
NONCE_BYTES = 12
"""Drawn at random for each payload: NIST SP 800-38D allows 2^32 payloads for each key."""
_PURPOSE = b"coalmine/payload/1\n"
"""Authenticated with the name of the key: a ciphertext made for anything else never passes for a payload."""


class EncryptionCodec(PayloadCodec):
    """Encrypts with the newest key of a ring, decrypts with any."""

    def __init__(self, ring: KeyRing, *, serving: bool = False) -> None:
        """Args:
        ring: at least one key.
        serving: for a worker: a payload that was changed is read as a text that says so, which a rollout refuses and
            lists. Raising would fail its task again and again, and nothing could be said to it any more.

        Raises:
            MissingExtra: ``cryptography`` is not installed.
        """
        self._ring = ring
        self._serving = serving
        self._ciphers = {name: _cipher(key) for name, key in ring.keys.items()}

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Encrypt each; one that is encrypted already is left as it is."""
        return [self.encrypted(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Decrypt each; one that is not encrypted is left as it is.

        Raises:
            PayloadUnreadable: the key is not on the ring, or the payload was changed.
        """
        return [self.decrypted(payload) for payload in payloads]

    def encrypted(self, payload: Payload) -> Payload:
        """One payload, encrypted."""
        if payload.metadata.get("encoding") == ENCODING:
            return payload
        name = self._ring.newest
        nonce = os.urandom(NONCE_BYTES)
        data = nonce + self._ciphers[name].encrypt(nonce, payload.SerializeToString(), _bound(name))
        return Payload(metadata={"encoding": ENCODING, KEY_NAME: name.encode()}, data=data)

    def decrypted(self, payload: Payload) -> Payload:
        """One payload, in clear.

        Raises:
            PayloadUnreadable: as ``decode``.
        """
        from cryptography.exceptions import InvalidTag

        if payload.metadata.get("encoding") != ENCODING:
            return payload
        name = payload.metadata.get(KEY_NAME, b"").decode("utf-8", "replace")
        cipher = self._ciphers.get(name)
        if cipher is None:
            known = ", ".join(self._ciphers)
            raise PayloadUnreadable(
                f"a payload is encrypted with the key {name!r}, and {self._ring.origin} has {known}: add that key"
            )
        nonce, data = payload.data[:NONCE_BYTES], payload.data[NONCE_BYTES:]
        try:
            return Payload.FromString(cipher.decrypt(nonce, data, _bound(name)))
        except (InvalidTag, ValueError, DecodeError):
            what = (
                f"a payload encrypted with the key {name!r} was changed, or {self._ring.origin} has another key under "
            )
            if self._serving:
                return Payload(metadata={"encoding": b"json/plain"}, data=json.dumps(f"{what}that name").encode())
            raise PayloadUnreadable(f"{what}that name: find the key it was written with") from None


def data_converter(keys: str | None, *, serving: bool = False) -> DataConverter:
    """How everything we say to Temporal is written: as JSON, errors without secrets, and encrypted when ``keys`` names
    a key file.

    Args:
        keys: path of the key file.
        serving: see ``EncryptionCodec``.

    Raises:
        InputError: the key file cannot be used.
        MissingExtra: ``cryptography`` is not installed.
    """
    if not keys:
        return dataclasses.replace(pydantic_data_converter, failure_converter_class=RedactingFailureConverter)
    return dataclasses.replace(
        pydantic_data_converter,
        payload_codec=EncryptionCodec(KeyRing.read(keys), serving=serving),
        failure_converter_class=EncodedRedactingFailureConverter,
    )


def _bound(name: str) -> bytes:
    return _PURPOSE + name.encode()


def _cipher(key: bytes) -> AESGCM:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError:
        raise MissingExtra("identity", KEYS_VARIABLE) from None
    return AESGCM(key)
