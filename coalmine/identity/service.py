"""The key of a service that authenticates people itself and signs for them: chat, a dashboard behind a proxy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from coalmine.errors import InputError
from coalmine.identity.claims import Decided
from coalmine.identity.keys import ANYONE, GROUPS, PERSON, VERBS
from coalmine.identity.signing import new_key, private_key, sign


def new_service_key(kid: str, verbs: Sequence[str] = (), groups: Sequence[str] = ()) -> dict[str, Any]:
    """A private Ed25519 key that signs for anyone, as a JWK: what its tokens say of person and groups is believed.

    Args:
        kid: Its name.
        verbs: What it may sign; none: everything but breaking glass.
        groups: Those it may speak for; none: any.
    """
    key = new_key(kid, "")
    kept = {name: value for name, value in key.items() if name not in (PERSON, GROUPS)} | {ANYONE: "anyone"}
    return kept | ({VERBS: list(verbs)} if verbs else {}) | ({GROUPS: list(groups)} if groups else {})


def read_service_key(text: str, origin: str) -> dict[str, Any]:
    """A private key as ``coalmine keys create --service`` wrote it.

    Raises:
        InputError: it is none; never shows the key.
    """
    key = private_key(text)
    if key is None:
        raise InputError(f"{origin}: it is no signing key: coalmine keys create --service NAME makes one")
    if key.get(ANYONE) != "anyone":
        raise InputError(
            f"{origin}: it is {str(key.get(PERSON))!r:.80}'s key and signs for nobody else: make one with: coalmine "
            "keys create FILE --service NAME"
        )
    return key


def sign_for(
    key: Mapping[str, Any], person: str, groups: Sequence[str], decided: Decided, now: datetime, token_id: str
) -> str:
    """A token by which the service says that this person, of these groups, decided this.

    Raises:
        InputError: the key cannot sign.
    """
    return sign({**key, PERSON: person, GROUPS: list(groups)}, decided, now, token_id)
