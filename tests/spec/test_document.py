"""YAML: places, merge keys, damaged input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine.errors import SpecError
from coalmine.spec import parse_spec
from coalmine.spec.document import LARGEST_TEXT

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
MINIMAL = next(path for path in EXAMPLES if path.stem == "minimal").read_text()


def problems(text: str) -> list[tuple[int, int, str]]:
    with pytest.raises(SpecError) as caught:
        parse_spec(text, "spec.yaml")
    return [(problem.line, problem.column, problem.field) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "field", "half"),
    [
        (r'service: "\ud800x"', "service", r"\ud800"),
        ('service: x\n"a\\udfff": 1', r"['a\udfff']", r"\udfff"),
        (r'service: "\ude00\ud83d"', "service", r"\ude00"),
    ],
)
def test_half_a_character_is_no_text(text: str, field: str, half: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_spec(text)
    [problem] = caught.value.problems
    assert problem.field == field
    assert f"holds {half}, which is half a character" in problem.message
    str(problem).encode()


def test_json_may_escape_a_character_as_two_halves() -> None:
    text = MINIMAL.replace("service: checkout", r'service: "\ud83d\ude00"', 1)
    with pytest.raises(SpecError) as caught:
        parse_spec(text)
    assert "'\N{GRINNING FACE}'" in str(caught.value)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_valid(path: Path) -> None:
    assert parse_spec(path.read_text(), path.name).service == "checkout"


def test_the_minimal_example_is_short() -> None:
    assert len(MINIMAL.splitlines()) < 25


def test_line_ends_and_a_byte_order_mark_change_nothing() -> None:
    assert parse_spec("\ufeff" + MINIMAL.replace("\n", "\r\n")) == parse_spec(MINIMAL)


def test_json_is_read_with_places(small: dict[str, Any]) -> None:
    small["steps"][1]["weight"] = 0.5
    text = json.dumps(small, indent=2)
    line = next(number for number, line in enumerate(text.splitlines(), 1) if '"weight": 0.5' in line)
    assert problems(text) == [(line, 17, "steps[1].weight")]


def test_merged_keys_are_used_and_blamed_where_they_are_written() -> None:
    steps = MINIMAL.replace("{weight: 1, for: 5m}", "&first {weight: 1, for: 5m}")
    good = steps.replace("{weight: 10, for: 10m}", "{<<: *first, weight: 10}")
    assert parse_spec(good).steps[1].for_ == parse_spec(good).steps[0].for_
    bad = problems(good.replace("for: 5m", "for: 5"))
    assert bad == [(13, 29, "steps[0].for"), (13, 29, "steps[1].for")]


def test_own_keys_win_over_merged_ones_wherever_they_stand() -> None:
    text = MINIMAL.replace("{weight: 1, for: 5m}", "&first {weight: 1, for: 5m}")
    text = text.replace("{weight: 10, for: 10m}", "{weight: 10, for: 7m, <<: *first}")
    assert parse_spec(text).steps[1].for_.total_seconds() == 420


def test_dates_and_words_that_look_like_booleans_stay_text() -> None:
    spec = parse_spec(MINIMAL.replace("1.42.0", "2026-11-23").replace("checkout-v42", "no"))
    assert (spec.arms.canary.version, spec.arms.canary.backend) == ("2026-11-23", "no")


@pytest.mark.parametrize("version", ["1.10", "2026", "1e3", "0x1F", "true"])
def test_a_version_that_yaml_reads_as_something_else_must_be_quoted(version: str) -> None:
    assert problems(MINIMAL.replace("version: 1.42.0", f"version: {version}")) == [(6, 21, "arms.canary.version")]
    quoted = parse_spec(MINIMAL.replace("version: 1.42.0", f'version: "{version}"'))
    assert quoted.arms.canary.version == version


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", "---\n", "---\n...\n", "null\n", "~"])
def test_nothing_is_refused(text: str) -> None:
    assert len(problems(text)) == 1


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("? [a, b]\n: c", (2, 3, "")),
        ("<<: 3", (2, 5, "")),
        ("service: !!int checkout", (2, 10, "service")),
        ("service: !!binary Y2hlY2tvdXQ=", (2, 10, "service")),
        ("service: 'check\aout'", (2, 16, "")),
        ("service: [checkout", (3, 5, "")),
        ("%YAML 1.1", (3, 1, "")),
    ],
)
def test_yaml_that_is_no_plain_data_is_refused(line: str, place: tuple[int, int, str]) -> None:
    assert problems(f"# a spec\n{line}\narms:\n") == [place]


def test_too_much_is_refused() -> None:
    assert problems("a" * (LARGEST_TEXT + 1)) == [(1, 1, "")]
    assert problems("[" * 5_000) == [(1, 51, "")]
    assert len(problems("a: " + "[" * 60 + "]" * 60)) == 1


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_answered(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_spec(text)
    assert caught.value.problems
    assert all("\n" not in str(problem) for problem in caught.value.problems)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_spec_is_read_or_answered_with_places(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(MINIMAL)))
    cut = data.draw(st.integers(0, 12))
    text = MINIMAL[:start] + data.draw(st.text("{}[]&*!|>%@`'\",:-#?\t\n ab0.<", max_size=6)) + MINIMAL[start + cut :]
    try:
        parse_spec(text)
    except SpecError as error:
        lines = text.count("\n") + 1
        for problem in error.problems:
            assert 1 <= problem.line <= lines + 1
            assert problem.column >= 1
            assert "\n" not in str(problem)
