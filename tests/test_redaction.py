"""No registered secret, and nothing that looks like one, is left in what people read."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine.redaction import HIDDEN, SHORTEST, Redactor, looks_secret

SECRETS = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="*"), min_size=SHORTEST
)


@settings(deadline=None)
@given(SECRETS, st.text(max_size=40), st.text(max_size=40))
def test_a_registered_value_is_left_out_however_it_is_written(value: str, before: str, after: str) -> None:
    redactor = Redactor()
    redactor.register(value)
    for written in (value, quote(value, safe=""), json.dumps(value)[1:-1]):
        assert written not in redactor.text(f"{before} {written} {after}")
        assert written not in json.dumps(redactor.anything({"a": [{"b": f"{before}{written}{after}"}]}))


def test_one_value_within_another_leaves_nothing_of_either() -> None:
    redactor = Redactor()
    redactor.register("hunter2hunter2")
    redactor.register("prefix-hunter2hunter2-suffix")
    assert redactor.text("is prefix-hunter2hunter2-suffix") == f"is {HIDDEN}"


def test_too_short_to_be_told_from_words() -> None:
    redactor = Redactor()
    redactor.register("the")
    assert redactor.text("the weather") == "the weather"


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("Authorization: Bearer abc.def-123", "abc.def-123"),
        ('{"authorization": "Basic dXNlcjpwYXNz"}', "dXNlcjpwYXNz"),
        ("sent Bearer 0123456789abcdef", "0123456789abcdef"),
        ("http://ana:pa55word@host/x", "pa55word"),
        ("http://host/x?a=1&access_token=t0psecret&b=2", "t0psecret"),
        ("got eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbmEifQ.c2lnbmF0dXJl", "eyJzdWIiOiJhbmEifQ"),
        ("key AKIAABCDEFGHIJKLMNOP", "AKIAABCDEFGHIJKLMNOP"),
        ("with ghp_abcdefghijklmnopqrst", "ghp_abcdefghijklmnopqrst"),
        ("-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----", "MIIB"),
    ],
)
def test_what_looks_like_a_credential_goes(text: str, hidden: str) -> None:
    assert looks_secret(text)
    assert hidden not in Redactor().text(text)
    assert HIDDEN in Redactor().text(text)


@pytest.mark.parametrize(
    "text",
    [
        "errors: canary 9 % against 1 %, at least x1.31",
        "https://hooks.example:8443/deploy?version=1.42.0",
        "gate 'go' was not approved within 10m by ana@example.org",
        "production/checkout/1.42.0/3:prepare",
        "the token is missing: set COALMINE_SECRET_CI",
    ],
)
def test_what_people_need_to_read_stays(text: str) -> None:
    assert Redactor().text(text) == text
    assert not looks_secret(text)


def test_keys_that_name_secrets_hide_their_text_and_numbers_stay() -> None:
    given = {"password": "x", "x-api-key": "y", "count": 3, "at": datetime(2026, 1, 1, tzinfo=UTC), "tokens": "z"}
    shown = Redactor().anything(given)
    assert shown == {
        "password": HIDDEN,
        "x-api-key": HIDDEN,
        "count": 3,
        "at": "2026-01-01 00:00:00+00:00",
        "tokens": "z",
    }


def test_what_is_nested_without_end_is_cut() -> None:
    deep: list[object] = []
    for _ in range(5_000):
        deep = [deep]
    assert "<list>" in json.dumps(Redactor().anything(deep))


@pytest.mark.parametrize(
    "part", ["eyJ", "Bearer ", "://", "?token=", "Authorization:", "-----BEGIN ", "a", "'", "&sig"]
)
def test_long_texts_take_time_in_proportion_to_their_length(part: str) -> None:
    def cpu(text: str) -> float:
        began = time.process_time()
        Redactor().text(text)
        return time.process_time() - began

    # Quadratic patterns took minutes here; a bound so wide says nothing of the machine.
    assert cpu(part * (400_000 // len(part))) < 20


def test_half_a_character_of_somebody_elses_json_is_spelled_out() -> None:
    told = Redactor().anything({"reason": "\ud800 no", "a\udfff": ["b"]})
    assert told == {"reason": r"\ud800 no", r"a\udfff": ["b"]}
