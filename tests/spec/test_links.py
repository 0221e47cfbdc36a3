"""Link templates: what may stand in one, and that no value gets out of its place."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalmine.spec.links import PLACEHOLDERS, fill_link, link_problem


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("https://logs.example/?q={servce}", "'{servce}' is not known: did you mean 'service'?"),
        ("https://logs.example/{", "belongs to no placeholder"),
        ("https://logs.example/{a{b}}", "is not known"),
        ("logs.example/{service}", "is not a URL"),
        ("javascript:alert(1)", "is not a URL"),
        ("https://ana:pw@logs.example/", "has a user or password in it"),
        ("https://logs.example/?token=abc", "has a secret in its query"),
    ],
)
def test_what_is_no_link(template: str, said: str) -> None:
    assert said in (link_problem(template) or "")


def test_every_placeholder_may_stand_in_one() -> None:
    assert link_problem("https://x.example/?" + "&".join("{" + name + "}" for name in PLACEHOLDERS)) is None


@given(st.text())
def test_a_value_stays_in_its_place(value: str) -> None:
    parts = urlsplit(fill_link("https://logs.example/search?q={service}&a=b", {"service": value}))
    assert (parts.netloc, parts.path, parts.fragment) == ("logs.example", "/search", "")
    found = parse_qs(parts.query, keep_blank_values=True, errors="strict")
    assert found["a"] == ["b"]
    assert found["q"] == [value.encode("utf-8", "replace").decode()]
