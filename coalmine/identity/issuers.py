"""CI as an identity: which OIDC issuers count, for which repository, and what their tokens prove.

Such a token is no decision: it binds neither gate nor reason. So it says who *starts*; anything else only where its
audience was made for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from coalmine.errors import InputError
from coalmine.identity.keys import ANYONE, GROUPS, PERSON, VerifyingKey, jwk_entries, jwt_module, verifying_key
from coalmine.identity.verification import BadToken, Verified, in_time, moment, signed_claims, text_claim, unproved
from coalmine.records import Verb

ISSUERS_VARIABLE = "COALMINE_DECISION_ISSUERS"
LONGEST_CI_LIFETIME = timedelta(hours=1)
"""GitLab's tokens live as long as a job may run."""
START = "start"
BOUND_VERBS = (START, "approve")
SAYABLE = (START, *Verb)
"""What an entry's ``verbs`` may list."""
_BOUND = "coalmine:"
_MEMBERS = {"issuer": str, "jwks": str, "audience": str, "person": str, "groups": list, "claims": dict, "verbs": list}
_OPTIONAL: Mapping[str, Any] = {"groups": [], "verbs": [START]}
_PLACE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True)
class Issuer:
    """An OIDC issuer, and the claims that its tokens must carry word for word."""

    issuer: str
    jwks: str
    audience: str
    person: str
    """Who its tokens are: text with ``{claim}`` in it."""
    claims: Mapping[str, str]
    groups: tuple[str, ...] = ()
    verbs: tuple[str, ...] = (START,)
    """What its tokens may say over the HTTP API; to workers they say no more than ``BOUND_VERBS``."""


def bound_audience(verb: str, workflow_id: str) -> str:
    """The audience of a token that was made for one verb of one rollout's workflow."""
    return f"{_BOUND}{verb}:{workflow_id}"


def read_issuers(text: str, origin: str) -> Sequence[Issuer]:
    """The issuers of a JSON list.

    Args:
        text: The document.
        origin: Where it comes from, for messages.

    Raises:
        InputError: it cannot be used; names the entry and the mend.
    """
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError(f"{origin}: it is no JSON: write a list of issuers, as docs/identity.md shows") from None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InputError(f"{origin}: it is no list of issuers: write [{{...}}], as docs/identity.md shows")
    return [_issuer(entry, f"{origin}: [{number}]") for number, entry in enumerate(entries)]


def _issuer(entry: dict[str, Any], place: str) -> Issuer:
    if unknown := sorted(set(entry) - set(_MEMBERS)):
        # A misspelt "claims" would let everyone in.
        raise InputError(f"{place}: {unknown[0]!r:.60} is not known: use {', '.join(_MEMBERS)}")
    entry = {**_OPTIONAL, **entry}
    for name, kind in _MEMBERS.items():
        if not isinstance(entry.get(name), kind) or (name not in _OPTIONAL and not entry[name]):
            raise InputError(f"{place}: {name} is {entry.get(name)!r:.60}: write a {_KINDS[kind]}")
    if entry["audience"].startswith(_BOUND):
        raise InputError(
            f"{place}: audience begins with '{_BOUND}', which is for tokens of one rollout: choose another"
        )
    for name, value in entry["claims"].items():
        if not isinstance(value, str) or not value:
            raise InputError(f"{place}: claims.{name} is {value!r:.60}: write the text it must be, word for word")
    if not all(isinstance(group, str) for group in entry["groups"]):
        raise InputError(f"{place}: groups is {entry['groups']!r:.60}: write a list of names")
    if unknown := [verb for verb in entry["verbs"] if verb not in SAYABLE]:
        raise InputError(f"{place}: verbs has {unknown[0]!r:.60}: it may list {', '.join(SAYABLE)}")
    if set("{}") & set(_PLACE.sub("", entry["person"])):
        raise InputError(f"{place}: person is {entry['person']!r:.60}: write text with {{claim}} in it")
    return Issuer(
        entry["issuer"],
        entry["jwks"],
        entry["audience"],
        entry["person"],
        entry["claims"],
        tuple(entry["groups"]),
        tuple(entry["verbs"]),
    )


_KINDS = {str: "text", list: "list of names", dict: "object of claims, such as {'repository': 'org/shop'}"}


def read_issuer_keys(text: str, origin: str) -> Mapping[str, VerifyingKey]:
    """The keys of an issuer's JWKS by ``kid``; those of kinds that are not accepted are left out.

    Raises:
        InputError: it is no JWKS, or has two keys of one name.
    """
    jwt_module()
    keys: dict[str, VerifyingKey] = {}
    for number, entry in enumerate(jwk_entries(text, origin)):
        if entry.get("use", "sig") != "sig":
            continue
        plain = {name: value for name, value in entry.items() if name not in (PERSON, GROUPS)}
        try:
            key = verifying_key({**plain, ANYONE: "anyone"}, f"{origin}: keys[{number}]")
        except InputError:
            continue
        if key.kid in keys:
            raise InputError(f"{origin}: keys[{number}]: kid {key.kid!r:.80} is there twice")
        keys[key.kid] = key
    return keys


def issuers_of(token: str, issuers: Sequence[Issuer]) -> Sequence[Issuer]:
    """Those whose token it says it is; several may be of one issuer, for different repositories. Proves nothing."""
    said = unproved(token).get("iss")
    return [one for one in issuers if one.issuer == said]


def verify_issued(
    token: str,
    issuer: Issuer,
    keys: Mapping[str, VerifyingKey],
    verb: str,
    workflow_id: str,
    at: datetime,
    since: datetime | None = None,
) -> Verified:
    """Who a token of CI is.

    Args:
        token: A JWT in compact form.
        issuer: Whose it has to be.
        keys: Of the issuer, by ``kid``.
        verb: What it is shown for.
        workflow_id: Of the rollout.
        at: When it arrived.
        since: When the rollout began; None where it is to begin. One that was issued before may have been used on the
            rollout before, which has the same workflow id.

    Raises:
        BadToken: it is forged, expired, of another repository, or for something else.
        InputError: pyjwt is not installed.
    """
    key, claims = signed_claims(token, keys, strict_header=False)
    if claims.get("iss") != issuer.issuer:
        raise BadToken(f"the token is of issuer {claims.get('iss')!r:.80}, not {issuer.issuer!r:.80}")
    if verb not in BOUND_VERBS:
        raise BadToken(f"a token of CI cannot {verb}: it may {' or '.join(BOUND_VERBS)}")
    audience = claims.get("aud")
    if isinstance(audience, list) and len(audience) == 1:
        audience = audience[0]
    wanted = [bound_audience(verb, workflow_id), *([issuer.audience] if verb == "start" else [])]
    if not isinstance(audience, str) or audience not in wanted:
        raise BadToken(f"the token is for {audience!r:.120} (aud), not {' or '.join(wanted)}")
    expires = in_time(claims, at, LONGEST_CI_LIFETIME)
    # Issuers tell whole seconds: one of the second in which this rollout began may have been used on the one before.
    if since is not None and (issued := moment(claims, "iat")) < since:
        raise BadToken(
            f"the token was issued at {issued:%Y-%m-%d %H:%M:%S} UTC, before this rollout began at {since:%H:%M:%S}: "
            "ask CI for a new one"
        )
    return _known(issuer, key, claims, expires)


def person_of(
    token: str, issuer: Issuer, keys: Mapping[str, VerifyingKey], at: datetime, longest: timedelta
) -> Verified:
    """Who a token is that was made for the issuer's own audience; it decides nothing.

    Args:
        token: A JWT in compact form.
        issuer: Whose it has to be.
        keys: Of the issuer, by ``kid``.
        at: When it arrived.
        longest: A token that lives longer is refused.

    Raises:
        BadToken: it is forged, expired, or for somebody else.
        InputError: pyjwt is not installed.
    """
    key, claims = signed_claims(token, keys, strict_header=False)
    if claims.get("iss") != issuer.issuer:
        raise BadToken(f"the token is of issuer {claims.get('iss')!r:.80}, not {issuer.issuer!r:.80}")
    audience = claims.get("aud")
    if audience != issuer.audience and audience != [issuer.audience]:
        raise BadToken(f"the token is for {audience!r:.120} (aud), not {issuer.audience!r:.80}")
    return _known(issuer, key, claims, in_time(claims, at, longest))


def _known(issuer: Issuer, key: VerifyingKey, claims: dict[str, Any], expires: datetime) -> Verified:
    for name, value in issuer.claims.items():
        if claims.get(name) != value:
            raise BadToken(f"the token's {name!r:.60} is {claims.get(name)!r:.80}, not {value!r:.80}")
    person = _PLACE.sub(lambda place: text_claim(claims, place[1]), issuer.person)
    if not person.isprintable():
        raise BadToken("the token's person has characters that cannot be shown")
    return Verified(person, issuer.groups, key.kid, text_claim(claims, "jti"), expires, issuer.issuer)
