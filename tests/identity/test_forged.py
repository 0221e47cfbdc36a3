"""Tokens that prove nothing: none is accepted, however it was made."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from coalmine.errors import InputError
from coalmine.identity.claims import Decided
from coalmine.identity.keys import ANYONE, GROUPS, PERSON, read_jwks
from coalmine.identity.service import new_service_key, sign_for
from coalmine.identity.signing import new_key, public_half, sign
from coalmine.identity.verification import BadToken, verify

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
DECIDED = Decided("approve", "test/checkout/1.1.0/1", "ok", "go", 1)
KEY = new_key("ana-1", "ana", ["sre"])
KEYS = read_jwks(json.dumps({"keys": [public_half(KEY)]}), "test")
VALID = sign(KEY, DECIDED, NOW, "once")


def part(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def claims(**changes: Any) -> dict[str, Any]:
    plain: dict[str, Any] = jwt.decode(VALID, options={"verify_signature": False})
    return {name: value for name, value in {**plain, **changes}.items() if value is not ...}


def signed(headers: dict[str, Any] | None = None, **changes: Any) -> str:
    private = jwt.PyJWK(KEY, algorithm="EdDSA").key
    return jwt.encode(claims(**changes), private, algorithm="EdDSA", headers=headers or {"kid": "ana-1"})


def test_a_valid_one_names_its_person() -> None:
    found = verify(VALID, DECIDED, KEYS, NOW)
    assert (found.person, found.groups, found.kid, found.token_id) == ("ana", ("sre",), "ana-1", "once")
    assert found.expires == NOW + timedelta(minutes=5)


@pytest.mark.parametrize(
    ("token", "why"),
    [
        (signed(aud="other"), "not for 'coalmine'"),
        (signed(aud=...), "lacks 'aud'"),
        (signed(jti=...), "lacks 'jti'"),
        (signed(exp=...), "lacks 'exp'"),
        (signed(exp=int(NOW.timestamp())), "expired"),
        (signed(exp=int(NOW.timestamp()) + 86_400), "lives for"),
        (signed(exp=1e300), "seconds since 1970"),
        (signed(exp=True), "seconds since 1970"),
        (signed(iat=int(NOW.timestamp()) + 100), "from the future"),
        (signed(sub="bo"), "is ana's"),
        (signed(sub=["ana"]), "does not hold"),
        (signed(gate="other"), "another gate"),
        (signed(attempt=2), "another attempt"),
        (signed(attempt=True), "another attempt"),
        (signed(rollout="test/checkout/1.1.0/2"), "another rollout"),
        (signed(verb="promote"), "another verb"),
        (signed(reason_sha256="0" * 64), "another reason"),
        (signed(break_glass=True), "another way"),
        (signed(headers={"kid": "bo-1"}), "not among the worker's"),
        (signed(headers={"kid": "ana-1", "x": 1}), "not known here"),
        (VALID + "=", "no token"),
        ("", "no token"),
        ("a.b", "no token"),
        ("é.a.b", "no token"),
        ("a" * 9_000, "no token"),
    ],
)
def test_what_is_wrong_is_said(token: str, why: str) -> None:
    with pytest.raises(BadToken, match=why):
        verify(token, DECIDED, KEYS, NOW)


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "HS256", "HS384", "HS512", "ES256", "RS256", "", None])
def test_the_header_does_not_choose_the_algorithm(algorithm: str | None) -> None:
    body = f"{part({'alg': algorithm, 'kid': 'ana-1', 'typ': 'JWT'})}.{part(claims())}"
    public = base64.urlsafe_b64decode(KEY["x"] + "=")
    for secret in (public, KEY["x"].encode(), json.dumps(public_half(KEY)).encode(), b""):
        for signature in ("", part(hmac.new(secret, body.encode(), hashlib.sha256).digest()), VALID.split(".")[2]):
            with pytest.raises(BadToken):
                verify(f"{body}.{signature}", DECIDED, KEYS, NOW)


def test_thousands_of_mutants() -> None:
    draw = random.Random(20260105)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.="
    accepted, tried = [], 0
    while tried < 3_000:
        text = list(VALID)
        for _ in range(draw.choice([1, 1, 1, 2, 5])):
            place = draw.randrange(len(text))
            match draw.randrange(4):
                case 0:
                    text[place] = draw.choice(alphabet)
                case 1:
                    text.insert(place, draw.choice(alphabet))
                case 2:
                    del text[place]
                case _:
                    other = draw.randrange(len(text))
                    text[place], text[other] = text[other], text[place]
        token = "".join(text)
        if token == VALID:
            continue
        tried += 1
        try:
            verify(token, DECIDED, KEYS, NOW)
        except BadToken:
            continue
        accepted.append(token)
    assert accepted == []


def test_another_decision_is_never_what_was_signed() -> None:
    for other in (
        replace(DECIDED, verb="promote", gate=None, attempt=None),
        replace(DECIDED, rollout_id="prod/checkout/1.1.0/1"),
        replace(DECIDED, gate="big"),
        replace(DECIDED, attempt=2),
        replace(DECIDED, reason="ok "),
        replace(DECIDED, break_glass=True),
    ):
        with pytest.raises(BadToken):
            verify(VALID, other, KEYS, NOW)


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_other_kinds_of_keys(algorithm: str) -> None:
    private: Any = ec.generate_private_key(ec.SECP256R1())
    kind: Any = jwt.algorithms.ECAlgorithm
    if algorithm == "RS256":
        private, kind = rsa.generate_private_key(65537, 2048), jwt.algorithms.RSAAlgorithm
    entry = {**kind.to_jwk(private.public_key(), as_dict=True), "kid": "bot", "alg": algorithm, ANYONE: "anyone"}
    keys = read_jwks(json.dumps({"keys": [entry]}), "test")
    token = jwt.encode(claims(groups=["ops"]), private, algorithm=algorithm, headers={"kid": "bot"})
    found = verify(token, DECIDED, keys, NOW)
    assert (found.person, found.groups) == ("ana", ("ops",))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({PERSON: None}, "belongs to nobody"),
        ({ANYONE: "anyone"}, "belongs to nobody"),
        ({"kid": ""}, "name the key"),
        ({"d": KEY["d"]}, "private or shared"),
        ({"kty": "oct", "k": "c2VjcmV0"}, "private or shared"),
        ({"alg": "HS256"}, "not accepted"),
        ({"crv": "Ed448"}, "not accepted"),
        ({"x": "AAAA"}, "cannot be read"),
        ({GROUPS: "sre"}, "list of names"),
    ],
)
def test_a_key_that_cannot_be_used_is_refused(change: dict[str, Any], why: str) -> None:
    entry = {name: value for name, value in {**public_half(KEY), **change}.items() if value is not None}
    with pytest.raises(InputError, match=why):
        read_jwks(json.dumps({"keys": [entry]}), "test")


# ------------------------------------------------------------------------------------- keys of services


def of_service(decided: Decided, **changes: Any) -> Any:
    key = new_service_key("chat-1")
    entry = {**public_half(key), **changes}
    keys = read_jwks(json.dumps({"keys": [entry]}), "test")
    token = sign_for(key, "ana", ["sre", "ops"], decided, NOW, "t-1")
    return verify(token, decided, keys, NOW)


PROMOTE = replace(DECIDED, verb="promote", gate=None, attempt=None)
GLASS = replace(DECIDED, break_glass=True)


@pytest.mark.parametrize("named", [{"gate": "go"}, {"attempt": 1}])
def test_a_token_that_names_a_gate_does_not_promote_past_all_of_them(named: dict[str, Any]) -> None:
    bare: dict[str, Any] = {"verb": "promote", "gate": ..., "attempt": ...}
    assert verify(signed(**bare), PROMOTE, KEYS, NOW).person == "ana"
    with pytest.raises(BadToken, match="the token names a gate, and promote has none"):
        verify(signed(**bare | named), PROMOTE, KEYS, NOW)


def test_a_service_signs_everything_but_broken_glass_unless_its_entry_says_so() -> None:
    assert of_service(DECIDED).person == "ana"
    assert of_service(PROMOTE).groups == ("sre", "ops")
    with pytest.raises(BadToken, match=r"'chat-1' may not sign break_glass.*coalmine_verbs"):
        of_service(GLASS)
    assert of_service(GLASS, coalmine_verbs=["approve", "break_glass"]).person == "ana"


def test_a_list_of_verbs_and_groups_bars_the_others() -> None:
    assert of_service(DECIDED, coalmine_verbs=["approve", "pause"]).person == "ana"
    with pytest.raises(BadToken, match="may not sign promote, only approve, pause"):
        of_service(PROMOTE, coalmine_verbs=["approve", "pause"])
    assert of_service(DECIDED, coalmine_groups=["ops"]).groups == ("ops",)
    assert of_service(DECIDED, coalmine_groups=[]).groups == ()


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({ANYONE: "anyone", "coalmine_verbs": ["aprove"]}, "write a list of some of start, approve"),
        ({ANYONE: "anyone", "coalmine_verbs": "approve"}, "write a list of some of"),
        ({ANYONE: "anyone", "coalmine_verbs": []}, "write a list of some of"),
        ({ANYONE: "anyone", "coalmine_verbs": ["break_glass"]}, "without 'approve'"),
        ({PERSON: "ana", "coalmine_verbs": ["approve"]}, "is a person's: take it out"),
    ],
)
def test_a_list_that_cannot_be_meant_is_refused(entry: dict[str, Any], why: str) -> None:
    plain = {name: value for name, value in public_half(KEY).items() if name not in (PERSON, GROUPS)}
    with pytest.raises(InputError, match=why):
        read_jwks(json.dumps({"keys": [{**plain, **entry}]}), "test")


def test_an_extend_is_bound_to_how_long_it_says_and_an_older_token_to_nothing() -> None:
    extend = Decided("extend", DECIDED.rollout_id, "ok", longer="1h30m")
    token = sign(KEY, extend, NOW, "longer")
    assert verify(token, extend, KEYS, NOW).person == "ana"
    for other in ("10h", ""):
        with pytest.raises(BadToken, match="another length"):
            verify(token, replace(extend, longer=other), KEYS, NOW)
    # An older worker asks without, an older version signs without.
    assert verify(token, replace(extend, longer=None), KEYS, NOW).person == "ana"
    assert verify(sign(KEY, replace(extend, longer=None), NOW, "older"), extend, KEYS, NOW).person == "ana"
