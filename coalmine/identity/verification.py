"""Checking a signed decision: the key first, then times, then whether it decides this and nothing else."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from coalmine.identity.claims import AUDIENCE, LONGER, LONGEST_LIFETIME, LONGEST_TOKEN, SKEW, Decided
from coalmine.identity.keys import GLASS, VERBS, VerifyingKey, jwt_module
from coalmine.identity.names import LONGEST_NAME, folded

_REQUIRED = ["iss", "sub", "aud", "iat", "exp", "jti"]
_UNJUDGED = ("verify_aud", "verify_exp", "verify_iat", "verify_nbf")
_LAST = datetime(9999, 1, 1, tzinfo=UTC).timestamp()


class BadToken(ValueError):
    """A token that proves nothing; says why."""


_OTHER_SPEC = (
    "; the service and the version are the same, the spec is not: it was changed after it was signed, or who signed it "
    "runs another version of Coalmine than the worker, which knows other fields of a spec: sign with the worker's "
    "version (docs/upgrading.md)"
)


@dataclass(frozen=True)
class Verified:
    """Who decided, by which key; ``token_id`` counts once until ``expires``."""

    person: str
    groups: tuple[str, ...]
    kid: str
    token_id: str
    expires: datetime
    issuer: str = ""
    """Of a token of CI; empty for a key of our own."""


def verify(token: str, decided: Decided, keys: Mapping[str, VerifyingKey], at: datetime) -> Verified:
    """Who signed this decision.

    Args:
        token: A JWT in compact form.
        decided: What it has to decide.
        keys: By ``kid``.
        at: When it arrived.

    Raises:
        BadToken: it is forged, expired, or decides something else.
        InputError: pyjwt is not installed.
    """
    key, claims = signed_claims(token, keys)
    if claims.get("aud") != AUDIENCE and claims.get("aud") != [AUDIENCE]:
        raise BadToken(f"the token is not for '{AUDIENCE}' (aud)")
    expires = in_time(claims, at)
    for name, wanted in decided.claims().items():
        if name == LONGER and name not in claims:
            continue  # Signed by an older version, which left it out: it says nothing of how long.
        given = claims.get(name)
        # True == 1 in Python: an attempt of true is no attempt.
        if type(given) is not type(wanted) or given != wanted:
            mend = _OTHER_SPEC if decided.verb == "start" and _same_but_spec(given, wanted) else ""
            raise BadToken(f"the token decides another {_WORDS[name]}: {given!r:.80}, not {wanted!r:.80}{mend}")
    if decided.gate is None and ("gate" in claims or "attempt" in claims):
        raise BadToken(f"the token names a gate, and {decided.verb} has none")
    _may(key, decided)
    person, groups = _who(key, claims)
    return Verified(person, groups, key.kid, text_claim(claims, "jti"), expires)


def _may(key: VerifyingKey, decided: Decided) -> None:
    wanted = [decided.verb, *([GLASS] if decided.break_glass else [])]
    barred = next((what for what in wanted if what not in key.verbs), None)
    if barred is not None:
        raise BadToken(
            f"key '{key.kid}' may not sign {barred}, only {', '.join(key.verbs)}: add '{barred}' to its {VERBS} in the "
            "worker's keys, or sign with a person's own key"
        )


def _same_but_spec(given: object, wanted: object) -> bool:
    """Whether two subjects of a start (``claims.start_subject``) differ in the spec's digest alone."""
    if not isinstance(given, str) or not isinstance(wanted, str) or given == wanted:
        return False
    return given.partition("#")[0] == wanted.partition("#")[0]


def kid_of(token: str) -> str | None:
    """Which key a token says it is signed by, None when it cannot be read. Nothing is proved by it."""
    jwt = jwt_module()
    if len(token) > LONGEST_TOKEN or not token.isascii():
        return None
    try:
        kid = jwt.get_unverified_header(token).get("kid")
    except (jwt.PyJWTError, ValueError, RecursionError):
        return None
    return kid if isinstance(kid, str) else None


_WORDS = {
    "verb": "verb",
    "rollout": "rollout",
    "gate": "gate",
    "attempt": "attempt",
    "reason_sha256": "reason",
    "break_glass": "way (break_glass)",
    LONGER: "length ('for')",
}


def unproved(token: str) -> dict[str, Any]:
    """What a token says, without proof; nothing when it cannot be read."""
    jwt = jwt_module()
    if len(token) > LONGEST_TOKEN or not token.isascii():
        return {}
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        return {}
    return dict(claims)


def signed_claims(
    token: str, keys: Mapping[str, VerifyingKey], *, strict_header: bool = True
) -> tuple[VerifyingKey, dict[str, Any]]:
    """What a token says whose signature holds; neither audience nor times are judged.

    Args:
        token: A JWT in compact form.
        keys: By ``kid``.
        strict_header: Whether members that mean nothing here (``x5t``) are refused too.

    Raises:
        BadToken: it is forged, or lacks a claim.
    """
    jwt = jwt_module()
    if len(token) > LONGEST_TOKEN or not token.isascii():
        raise BadToken("it is no token")
    parts = token.split(".")
    if len(parts) != 3 or not all(_canonical(part) for part in parts):
        raise BadToken("it is no token: three parts of base64url, joined by dots")
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise BadToken("the token's header cannot be read") from None
    kid = header.get("kid")
    key = keys.get(kid) if isinstance(kid, str) else None
    if key is None:
        raise BadToken(f"the token is signed by key {kid!r:.80}, which is not among the worker's")
    # The key says which algorithm it is for; a header that chooses another ('none', HMAC over a public key) is forged.
    if header.get("alg") != key.algorithm:
        raise BadToken(
            f"the token says algorithm {header.get('alg')!r:.40}, and key '{key.kid}' is for {key.algorithm}"
        )
    # 'crit' and 'b64' would change what the signature covers; keys are never taken from a header.
    if set(header) - {"alg", "kid", "typ"} if strict_header else set(header) & {"crit", "b64"}:
        raise BadToken("the token's header has members that are not known here")
    try:
        claims = jwt.decode(
            token,
            key.key,
            algorithms=[key.algorithm],
            # The caller judges the audience; times count at the arrival, not when a worker came to look at it.
            options={"require": _REQUIRED, **dict.fromkeys(_UNJUDGED, False)},
        )
    except jwt.MissingRequiredClaimError as error:
        raise BadToken(f"the token lacks '{error.claim}'") from None
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
        raise BadToken(f"the token's signature does not hold ({type(error).__name__})") from None
    return key, claims


def _canonical(part: str) -> bool:
    """Whether base64url decodes it and encodes it back the same: else two texts would be one token."""
    try:
        raw = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return False
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode() == part


def in_time(claims: dict[str, Any], at: datetime, longest: timedelta = LONGEST_LIFETIME) -> datetime:
    """When it expires.

    Raises:
        BadToken: it did, or does not count yet, or lives longer than ``longest``.
    """
    issued, expires = moment(claims, "iat"), moment(claims, "exp")
    if issued > at + SKEW:
        raise BadToken(f"the token is from the future: issued {issued:%H:%M:%S} UTC, and it is {at:%H:%M:%S}")
    if expires <= at:
        raise BadToken(f"the token expired at {expires:%Y-%m-%d %H:%M:%S} UTC: sign it again")
    if expires - issued > longest:
        raise BadToken(f"the token lives for {expires - issued}: the most is {longest}")
    if "nbf" in claims and moment(claims, "nbf") > at + SKEW:
        raise BadToken("the token does not count yet (nbf)")
    return expires


def check_signed_since(token: str, reset_at: datetime) -> None:
    """Refuse what was signed before a reset: the run that it made does not know which tokens were used before it.

    Args:
        token: One whose signature holds.
        reset_at: When the reset was made.

    Raises:
        BadToken: it was issued before that, or tells only the second, and the reset was made within it.
    """
    issued = moment(unproved(token), "iat")
    if issued < reset_at:
        raise BadToken(
            f"the token was issued at {issued:%Y-%m-%d %H:%M:%S} UTC, before the reset at {reset_at:%H:%M:%S}, and may "
            "have been used then: sign again"
        )


def moment(claims: dict[str, Any], name: str) -> datetime:
    """The time a claim tells.

    Raises:
        BadToken: it is none.
    """
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _LAST:
        raise BadToken(f"the token's '{name}' is {value!r:.40}: seconds since 1970")
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=value)


def _who(key: VerifyingKey, claims: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    person = text_claim(claims, "sub")
    if key.person is not None:
        if folded(person) != folded(key.person):
            raise BadToken(f"key '{key.kid}' is {key.person}'s, and the token speaks for {person!r:.80}")
        # What the key's owner writes into the token about groups proves nothing.
        return key.person, key.groups or ()
    groups = claims.get("groups", [])
    if not isinstance(groups, list) or not all(isinstance(group, str) for group in groups):
        raise BadToken("the token's 'groups' is no list of names")
    # What a service says of groups it may not speak for proves nothing.
    return person, tuple(group for group in groups if key.groups is None or group in key.groups)


def text_claim(claims: dict[str, Any], name: str) -> str:
    """A claim that must be text, without white space around it.

    Raises:
        BadToken: it is none, is empty, or is too long.
    """
    value = claims.get(name)
    if not isinstance(value, str) or not folded(value) or len(value) > LONGEST_NAME:
        raise BadToken(f"the token's '{name}' is {value!r:.40}: 1 to {LONGEST_NAME} characters")
    return value.strip()
