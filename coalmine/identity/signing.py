"""Making keys and signing decisions."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from coalmine.errors import InputError
from coalmine.identity.claims import AUDIENCE, LIFETIME, Decided
from coalmine.identity.keys import GROUPS, PERSON, jwt_module


def new_key(kid: str, person: str, groups: Sequence[str] = ()) -> dict[str, Any]:
    """A private Ed25519 key of one person as a JWK; ``public_half`` is what the worker is given."""
    jwt_module()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    return {
        "kty": "OKP",
        "crv": "Ed25519",
        "kid": kid,
        "alg": "EdDSA",
        "x": _base64(key.public_key().public_bytes_raw()),
        "d": _base64(key.private_bytes_raw()),
        PERSON: person,
        GROUPS: list(groups),
    }


def public_half(key: dict[str, Any]) -> dict[str, Any]:
    """The entry for the worker's JWKS."""
    return {name: value for name, value in key.items() if name != "d"}


def read_key(text: str, origin: str) -> dict[str, Any]:
    """A private key as ``coalmine keys create`` wrote it.

    Raises:
        InputError: it is none; never shows the key.
    """
    key = private_key(text, PERSON)
    if key is None:
        raise InputError(f"{origin}: it is no signing key: coalmine keys create makes one")
    return key


def private_key(text: str, *parts: str) -> dict[str, Any] | None:
    """The private key that a file holds, None when it is none or lacks one of these ``parts``."""
    try:
        key = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(key, dict) or any(not isinstance(key.get(part), str) for part in ("kid", "alg", "d", *parts)):
        return None
    return key


def sign(key: dict[str, Any], decided: Decided, now: datetime, token_id: str) -> str:
    """A token that counts once, for five minutes from ``now``, for what is decided and nothing else.

    Raises:
        InputError: the key cannot sign.
    """
    jwt = jwt_module()
    claims = {
        "iss": key["kid"],
        "sub": key[PERSON],
        "groups": key.get(GROUPS, []),
        "aud": AUDIENCE,
        # To the millisecond: after a reset it tells what was signed before from what was signed since.
        "iat": int(now.timestamp() * 1_000) / 1_000,
        "exp": int((now + LIFETIME).timestamp()),
        "jti": token_id,
        **decided.claims(),
    }
    try:
        private = jwt.PyJWK(key, algorithm=key["alg"]).key
        return str(jwt.encode(claims, private, algorithm=key["alg"], headers={"kid": key["kid"]}))
    except Exception as error:
        raise InputError(
            f"key {key['kid']!r} cannot sign ({type(error).__name__}): coalmine keys create makes one"
        ) from None


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
