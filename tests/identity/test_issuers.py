"""Tokens of CI: one of the right repository starts, and nothing else is proved by any other."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.verification import VerificationActivities
from coalmine.errors import InputError
from coalmine.identity.issuers import (
    ISSUERS_VARIABLE,
    bound_audience,
    issuers_of,
    read_issuer_keys,
    read_issuers,
    verify_issued,
)
from coalmine.identity.signing import new_key, public_half
from coalmine.identity.verification import BadToken
from coalmine.records import VerifyRequest
from tests.identity.key_server import key_server

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
STAMP = int(NOW.timestamp())
WORKFLOW = "canary/prod/checkout"
ENTRY: dict[str, Any] = {
    "issuer": "https://ci.example.org",
    "jwks": "https://ci.example.org/keys",
    "audience": "our-releases",
    "person": "ci:{repository}",
    "groups": ["ci"],
    "claims": {"repository": "org/shop", "ref": "refs/heads/main"},
}
[ISSUER] = read_issuers(json.dumps([ENTRY]), "test")
KEY, OTHER = new_key("run-1", "ci"), new_key("run-1", "ci")
KEYS = read_issuer_keys(json.dumps({"keys": [public_half(KEY)]}), "test")
CLAIMS: dict[str, Any] = {
    "iss": "https://ci.example.org",
    "sub": "repo:org/shop:ref:refs/heads/main",
    "aud": "our-releases",
    "iat": STAMP,
    "nbf": STAMP - 600,
    "exp": STAMP + 300,
    "jti": "one",
    "repository": "org/shop",
    "ref": "refs/heads/main",
}


def token(key: dict[str, Any] = KEY, headers: dict[str, Any] | None = None, **changes: Any) -> str:
    claims = {name: value for name, value in {**CLAIMS, **changes}.items() if value is not ...}
    private = jwt.PyJWK(key, algorithm="EdDSA").key
    # Not jwt.encode, which refuses claims of wrong kinds before anyone could judge them.
    return jwt.PyJWS().encode(
        json.dumps(claims).encode(), private, "EdDSA", {"kid": "run-1", "x5t": "abc", **(headers or {})}
    )


def check(text: str, verb: str = "start", at: datetime = NOW) -> Any:
    return verify_issued(text, ISSUER, KEYS, verb, WORKFLOW, at)


def test_the_right_one_is_named_by_its_claims() -> None:
    found = check(token())
    assert (found.person, found.groups, found.token_id) == ("ci:org/shop", ("ci",), "one")


def test_one_made_for_this_rollout_may_approve() -> None:
    assert check(token(aud=bound_audience("approve", WORKFLOW)), "approve").person == "ci:org/shop"
    assert check(token(aud=[bound_audience("start", WORKFLOW)])).person == "ci:org/shop"


def test_one_from_before_the_rollout_began_was_for_another() -> None:
    approving = token(aud=bound_audience("approve", WORKFLOW))
    later = NOW + timedelta(seconds=2)
    since = verify_issued(approving, ISSUER, KEYS, "approve", WORKFLOW, later, NOW)
    assert since.person == "ci:org/shop"
    # A token says whole seconds: one of the second in which the rollout began may be from before, and used up there.
    for began, said in ((timedelta(seconds=1), "12:00:01"), (timedelta(microseconds=1_000), "12:00:00")):
        with pytest.raises(
            BadToken, match=rf"issued at 2026-01-05 12:00:00 UTC, before this rollout began at {said}: ask CI"
        ):
            verify_issued(approving, ISSUER, KEYS, "approve", WORKFLOW, later, NOW + began)


@pytest.mark.parametrize(
    ("make", "verb", "why"),
    [
        (lambda: token(OTHER), "start", "signature does not hold"),
        (lambda: token(headers={"kid": "x"}), "start", "not among"),
        (lambda: token(headers={"crit": ["x"], "x": 1}), "start", "not known here|does not hold|cannot be read"),
        (lambda: token(iss="https://ci.example.org/"), "start", "of issuer"),
        (lambda: token(aud="other"), "start", r"is for 'other'"),
        (lambda: token(aud=["our-releases", "other"]), "start", "is for"),
        (lambda: token(aud=...), "start", "lacks 'aud'"),
        (lambda: token(), "approve", "is for 'our-releases'"),
        (lambda: token(aud=bound_audience("start", WORKFLOW)), "approve", "is for"),
        (lambda: token(aud=bound_audience("approve", WORKFLOW + "2")), "approve", "is for"),
        (lambda: token(aud=bound_audience("promote", WORKFLOW)), "promote", "cannot promote"),
        (lambda: token(repository="org/other"), "start", "'org/other', not 'org/shop'"),
        (lambda: token(repository="Org/Shop"), "start", "not 'org/shop'"),
        (lambda: token(repository=["org/shop"]), "start", "not 'org/shop'"),
        (lambda: token(ref=...), "start", "None, not 'refs/heads/main'"),
        (lambda: token(exp=STAMP), "start", "expired"),
        (lambda: token(exp=STAMP + 3601), "start", "lives for"),
        (lambda: token(iat=STAMP + 60), "start", "from the future"),
        (lambda: token(nbf=STAMP + 60), "start", "does not count yet"),
        (lambda: token(jti=...), "start", "lacks 'jti'"),
    ],
)
def test_what_proves_nothing(make: Callable[[], str], verb: str, why: str) -> None:
    with pytest.raises(BadToken, match=why):
        check(make(), verb)


@given(
    name=st.sampled_from(["iss", "aud", "repository", "ref"]),
    value=st.text(max_size=20) | st.integers() | st.booleans() | st.none() | st.lists(st.text(max_size=5), max_size=3),
)
def test_no_other_claim_counts(name: str, value: Any) -> None:
    if value in (CLAIMS[name], [CLAIMS["aud"]]):
        return
    with pytest.raises(BadToken):
        check(token(**{name: value}))


@given(st.text(max_size=300) | st.binary(max_size=200).map(lambda raw: raw.decode("latin-1")))
def test_garbage_is_no_token(text: str) -> None:
    assert issuers_of(text, [ISSUER]) == []
    with pytest.raises(BadToken):
        check(text)


@given(st.data())
def test_a_changed_token_is_none(data: st.DataObject) -> None:
    whole = token()
    place = data.draw(st.integers(0, len(whole) - 1))
    changed = whole[:place] + data.draw(st.characters(codec="ascii")) + whole[place + 1 :]
    if changed != whole:
        with pytest.raises(BadToken):
            check(changed)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"claims": {}}, "claims is {}"),
        ({"claims": {"repository": ["a"]}}, "word for word"),
        ({"claim": {"a": "b"}}, "'claim' is not known"),
        ({"audience": ""}, "audience is ''"),
        ({"audience": "coalmine:approve:canary/prod/checkout"}, "begins with"),
        ({"person": "ci:{repository"}, "person is"),
        ({"groups": [1]}, "groups is"),
        ({"verbs": "start"}, "verbs is 'start'"),
        ({"verbs": ["start", "deploy"]}, "verbs has 'deploy': it may list start, approve"),
        ({"verbs": [{}]}, "verbs has {}"),
        ({"jwks": None}, "jwks is None"),
    ],
)
def test_an_issuer_that_would_let_others_in_is_refused(change: dict[str, Any], why: str) -> None:
    with pytest.raises(InputError, match=why):
        read_issuers(json.dumps([{**ENTRY, **change}]), "test")


def test_an_issuer_gives_start_alone_unless_it_lists_more() -> None:
    assert ISSUER.verbs == ("start",)
    [more] = read_issuers(json.dumps([{**ENTRY, "verbs": ["start", "rollback"]}]), "test")
    assert more.verbs == ("start", "rollback")
    [none] = read_issuers(json.dumps([{**ENTRY, "verbs": []}]), "test")
    assert none.verbs == ()


def test_keys_of_other_kinds_are_left_out() -> None:
    entries = [public_half(KEY), {"kty": "oct", "k": "c2VjcmV0", "kid": "h"}, {**public_half(OTHER), "use": "enc"}]
    assert set(read_issuer_keys(json.dumps({"keys": entries}), "test")) == {"run-1"}


async def test_the_activity_asks_the_issuer() -> None:
    async with key_server(KEY) as server:
        entries = [
            {**ENTRY, "jwks": server.url, "claims": {"repository": "org/cart"}},
            {**ENTRY, "jwks": server.url},
        ]
        activities = VerificationActivities({ISSUERS_VARIABLE: json.dumps(entries)})
        request = VerifyRequest(token=token(), verb="start", rollout_id="x", at=NOW, workflow_id=WORKFLOW)
        assert (await activities.verify_decision(request)).person == "ci:org/shop"
        assert server.asked == 1
        for changes, why in (
            ({"token": token(OTHER)}, "does not hold"),
            ({"token": token(repository="org/x")}, "'org/x', not 'org/cart'; or .* not 'org/shop'"),
            ({"verb": "approve", "break_glass": True}, "does not break glass"),
            ({"token": token(iss="https://elsewhere.example.org")}, "COALMINE_DECISION_KEYS"),
        ):
            found = await activities.verify_decision(request.model_copy(update=changes))
            assert found.person == ""
            assert re.search(why, found.reason), found.reason
