"""When two names are one person."""

from __future__ import annotations

import json
import unicodedata
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalmine.chat.people import Person, check_may
from coalmine.chat.settings import ChatSettings
from coalmine.chat.thread import mentioned
from coalmine.console import submitter
from coalmine.errors import InputError, RefusedError
from coalmine.identity.claims import Decided
from coalmine.identity.keys import PERSON, read_jwks
from coalmine.identity.names import folded
from coalmine.identity.signing import new_key, public_half, sign
from coalmine.identity.verification import BadToken, verify

JOSE = unicodedata.normalize("NFC", "José"), unicodedata.normalize("NFD", "José")


@pytest.mark.parametrize(
    "other",
    [
        "Ana",
        "ANA",
        " ana\t",
        "ana\u200b",
        "\u200ban\u2060a",
        "\ufeffana",
        "an\u00ada",
        "\uff41\uff4e\uff41",
        "ana\ufe0f",
        "ana\u3000",
    ],
    ids=ascii,
)
def test_one_person(other: str) -> None:
    assert folded(other) == folded("ana")


def test_one_person_however_the_accent_is_written() -> None:
    assert JOSE[0] != JOSE[1]
    assert len({folded(name) for name in (*JOSE, "JOSÉ", JOSE[1].upper(), "Jose\u200b\u0301")}) == 1
    assert folded("Straße") == folded("STRASSE")


@pytest.mark.parametrize("other", ["anna", "an a", "\u0430n\u0430", "ana2", "ána"], ids=ascii)
def test_another_person(other: str) -> None:
    assert folded(other) != folded("ana")


@pytest.mark.parametrize("nobody", ["", "  ", "\u200b", "\u2060\ufeff ", "\u3164", "\ufe0f"], ids=ascii)
def test_nobody(nobody: str) -> None:
    assert folded(nobody) == ""


@given(st.text(st.characters(exclude_categories=["Cs", "Cn"])))
def test_the_form_of_a_form_is_itself(name: str) -> None:
    once = folded(name)
    assert folded(once) == once
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert folded(unicodedata.normalize(form, name)) == once
    assert folded(f" {name}\u200b ") == once


def test_a_key_of_nobody_is_refused() -> None:
    key = public_half(new_key("k", "\u200b"))
    with pytest.raises(InputError, match="belongs to nobody"):
        read_jwks(json.dumps({"keys": [key]}), "test")


def test_a_token_speaks_for_the_keys_person_however_it_is_written() -> None:
    key, decided = new_key("k", JOSE[0]), Decided("approve", "test/checkout/1.1.0/1", "ok", "go", 1)
    keys = read_jwks(json.dumps({"keys": [public_half(key)]}), "test")
    now = datetime(2026, 1, 5, 12, tzinfo=UTC)
    assert verify(sign({**key, PERSON: JOSE[1]}, decided, now, "once"), decided, keys, now).person == JOSE[0]
    with pytest.raises(BadToken, match="speaks for"):
        verify(sign({**key, PERSON: "Jose"}, decided, now, "once"), decided, keys, now)


def test_chat_and_pages_compare_people_so_too() -> None:
    channels = [{"channel": "C0123ABCD"}]
    settings = ChatSettings.model_validate(
        {"people": {"U024BE7LH": JOSE[0]}, "channels": channels, "may": {"approve": [JOSE[0]]}}
    )
    check_may(settings, Person("U024BE7LH", JOSE[1]), "approve")
    with pytest.raises(RefusedError):
        check_may(settings, Person("U024BE7LH", "ana"), "approve")
    assert mentioned([JOSE[1]], {}, {JOSE[0]: "U024BE7LH"}) == "<@U024BE7LH>"
    assert submitter(JOSE[0], JOSE[1]) == f"{JOSE[0]} (proved)"
