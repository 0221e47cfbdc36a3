"""Keys of people: a JWKS whose entries say whose key each is. A signature proves a key; the entry makes it a person."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from coalmine.errors import InputError
from coalmine.identity.names import folded

KEYS_VARIABLE = "COALMINE_DECISION_KEYS"
PERSON, GROUPS, ANYONE = "coalmine_sub", "coalmine_groups", "coalmine_signs_for"
"""Members of an entry: whose key it is and their groups, or ``"anyone"`` for a service that authenticates people."""
VERBS = "coalmine_verbs"
"""Member of a service's entry: what its key may sign."""
GLASS = "break_glass"
"""Stands among the verbs for opening a gate without its people, which no service may unless its entry says so."""
SIGNED_VERBS = ("start", "approve", "pause", "resume", "extend", "promote", "rollback", "reject")
_ALGORITHMS = {("OKP", "Ed25519"): "EdDSA", ("EC", "P-256"): "ES256", ("RSA", None): "RS256"}
_RSA_BITS = 2048


@dataclass(frozen=True)
class VerifyingKey:
    """A public key, the one algorithm it is good for, and whom it speaks for (None: whomever its token names)."""

    kid: str
    algorithm: str
    key: Any = field(repr=False)
    person: str | None = None
    groups: tuple[str, ...] | None = ()
    """Of its person; of a service's key those it may speak for, None: any."""
    verbs: tuple[str, ...] = (*SIGNED_VERBS, GLASS)
    """What it may sign."""


def jwt_module() -> ModuleType:
    """pyjwt, imported when it is first needed.

    Raises:
        InputError: it is not installed.
    """
    try:
        importlib.import_module("cryptography")
        return importlib.import_module("jwt")
    except ImportError:
        raise InputError(
            "signed decisions need pyjwt: install the extra, as in: pip install 'coalmine[identity]'"
        ) from None


def read_jwks(text: str, origin: str) -> Mapping[str, VerifyingKey]:
    """The keys of a JWKS by ``kid``.

    Args:
        text: The document.
        origin: Where it comes from, for messages.

    Raises:
        InputError: it is no JWKS, or an entry cannot be used; names the entry and the mend.
    """
    keys: dict[str, VerifyingKey] = {}
    for number, entry in enumerate(jwk_entries(text, origin)):
        key = verifying_key(entry, f"{origin}: keys[{number}]")
        if key.kid in keys:
            raise InputError(f"{origin}: keys[{number}]: kid {key.kid!r} is there twice: give each key its own")
        keys[key.kid] = key
    return keys


def jwk_entries(text: str, origin: str) -> list[dict[str, Any]]:
    """The entries of a JWKS, as they stand.

    Raises:
        InputError: it is none.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError(f"{origin}: it is no JSON: write a JWKS, as coalmine keys create prints it") from None
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InputError(f"{origin}: it has no list 'keys': write a JWKS, as coalmine keys create prints it")
    return entries


def verifying_key(entry: dict[str, Any], place: str) -> VerifyingKey:
    """One entry of a JWKS.

    Raises:
        InputError: it cannot be used; names the mend.
    """
    kid, person, groups = entry.get("kid"), entry.get(PERSON), entry.get(GROUPS, [])
    if not isinstance(kid, str) or not kid:
        raise InputError(f"{place}: kid is {kid!r}: name the key")
    if "d" in entry or "k" in entry:
        raise InputError(f"{place}: {kid!r} is a private or shared key: list the public half of a pair")
    algorithm = _ALGORITHMS.get((entry.get("kty", ""), entry.get("crv")))
    if algorithm is None or entry.get("alg", algorithm) != algorithm:
        raise InputError(f"{place}: {kid!r} is of a kind that is not accepted: use Ed25519, P-256 or RSA")
    anyone = entry.get(ANYONE) == "anyone"
    if anyone == (person is not None) or not (anyone or (isinstance(person, str) and folded(person))):
        raise InputError(f'{place}: {kid!r} belongs to nobody: give it "{PERSON}": "ana", or "{ANYONE}": "anyone"')
    if not isinstance(groups, list) or not all(isinstance(group, str) for group in groups):
        raise InputError(f'{place}: {GROUPS} is {groups!r}: write a list of names, such as ["sre"]')
    try:
        key = jwt_module().PyJWK(entry, algorithm=algorithm).key
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{place}: {kid!r} cannot be read ({type(error).__name__}): take the public key anew"
        ) from None
    if algorithm == "RS256" and key.key_size < _RSA_BITS:
        raise InputError(f"{place}: {kid!r} has {key.key_size} bits: an RSA key needs {_RSA_BITS}")
    verbs = _verbs(entry, place, anyone=anyone)
    if anyone:
        return VerifyingKey(kid, algorithm, key, None, tuple(groups) if GROUPS in entry else None, verbs)
    return VerifyingKey(kid, algorithm, key, str(person).strip(), tuple(groups), verbs)


def _verbs(entry: dict[str, Any], place: str, *, anyone: bool) -> tuple[str, ...]:
    """What an entry's key may sign: a person's anything, a service's what is listed, else all but breaking glass."""
    known = (*SIGNED_VERBS, GLASS)
    if VERBS not in entry:
        return SIGNED_VERBS if anyone else known
    if not anyone:
        raise InputError(f"{place}: {VERBS} is for a service's key, and {entry['kid']!r} is a person's: take it out")
    verbs = entry[VERBS]
    if not isinstance(verbs, list) or not verbs or any(verb not in known for verb in verbs):
        raise InputError(f"{place}: {VERBS} is {verbs!r:.120}: write a list of some of {', '.join(known)}")
    if GLASS in verbs and "approve" not in verbs:
        raise InputError(f"{place}: {VERBS} has '{GLASS}' without 'approve', which is how glass is broken: add it")
    return tuple(verbs)
