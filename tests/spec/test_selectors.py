"""Series selectors: what is read, what is refused with its reason, and how arms are filled in."""

from __future__ import annotations

import pytest

from coalmine.spec.canary import Arm
from coalmine.spec.selectors import Matcher, fill_selector, parse_selector

ARM = Arm(version='1.2+"x"', backend="shop-v1")


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("up", "up"),
        (" job:up:sum { } ", "job:up:sum"),
        ('x{a="b"}', 'x{a="b"}'),
        ("x{ a = 'b' , c=~\"d.*\", }", 'x{a="b",c=~"d.*"}'),
        ("x{a=`b\\d`}", 'x{a="b\\\\d"}'),
        (r'x{a="q\"q\\n\n"}', r'x{a="q\"q\\n\n"}'),
        ('{__name__="x"}', '{__name__="x"}'),
        ('{"my.metric", "label.name"!="v"}', '{"my.metric","label.name"!="v"}'),
    ],
)
def test_selectors_are_read_as_prometheus_reads_them(text: str, canonical: str) -> None:
    assert str(parse_selector(text)) == canonical
    assert parse_selector(canonical) == parse_selector(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rate(x[5m])", "calls rate: write the counter alone"),
        ("sum by (a) (x)", "may not follow a selector"),
        ("x[5m]", r"a range, offset or operator may not follow"),
        ("x offset 5m", "a range, offset or operator may not follow"),
        ("x / y", "a range, offset or operator may not follow"),
        ('x{a="b"', "expected , or }"),
        ('x{a="b}', "is not closed"),
        ("x{a=b}", "must be in quotes"),
        ('x{a>"b"}', "expected =, !=, =~ or !~"),
        ('x{1a="b"}', "expected a label name"),
        (r'x{a="\d"}', r"unknown escape \\d"),
        ("", "names no metric"),
        ('{a!="b"}', "names no metric"),
    ],
)
def test_anything_else_is_refused_with_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_selector(text)


def test_arms_are_filled_in_literally() -> None:
    selector = parse_selector('x{v="{arm.version}",b=~"{arm.backend}-.*|{arm.version}"}')
    filled = fill_selector(selector, ARM)
    assert filled.matchers == (
        Matcher("v", "=", '1.2+"x"'),
        Matcher("b", "=~", 'shop-v1-.*|1\\.2\\+"x"'),
    )
    assert filled.accepts({"__name__": "x", "v": '1.2+"x"', "b": "shop-v1-a"})
    assert not filled.accepts({"__name__": "x", "v": '1.2+"x"', "b": '122"x"'})
    assert str(filled) == 'x{v="1.2+\\"x\\"",b=~"shop-v1-.*|1\\\\.2\\\\+\\"x\\""}'


def test_counts_in_regular_expressions_are_no_placeholders() -> None:
    assert fill_selector(parse_selector('x{code=~"5[0-9]{2}"}'), ARM).matchers[0].value == "5[0-9]{2}"


def test_an_unknown_placeholder_lists_the_known() -> None:
    with pytest.raises(ValueError, match=r"'{arm.name}' .* use {arm.version}, {arm.backend}"):
        fill_selector(parse_selector('x{v="{arm.name}"}'), ARM)


@pytest.mark.parametrize(
    ("operator", "value", "accepted"),
    [
        ("=", "", True),
        ("=", "a", False),
        ("!=", "a", True),
        ("=~", "a|", True),
        ("=~", "a+", False),
        ("!~", "a+", True),
    ],
)
def test_an_absent_label_is_the_empty_text(operator: str, value: str, accepted: bool) -> None:
    assert Matcher("l", operator, value).accepts({}) is accepted
