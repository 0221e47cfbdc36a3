"""Wrong specs, each with the places and the mends its first lines expect: nothing more and nothing less is reported."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from coalmine.errors import SpecError
from coalmine.spec import parse_spec

WRONG = sorted((Path(__file__).parent / "wrong").glob("*.yaml"))
_EXPECTED = re.compile(r"# expect: (\d+):(\d+) (.+)")


@pytest.mark.parametrize("path", WRONG, ids=lambda path: path.stem)
def test_every_problem_is_one_line_at_its_place(path: Path) -> None:
    text = path.read_text()
    expected = _EXPECTED.findall(text)
    assert expected, "the file names no expected problem"
    with pytest.raises(SpecError) as caught:
        parse_spec(text, path.name)
    problems = caught.value.problems
    assert [(str(problem.line), str(problem.column)) for problem in problems] == [
        (line, col) for line, col, _ in expected
    ]
    for problem, (line, column, said) in zip(problems, expected, strict=True):
        shown = str(problem)
        assert shown.startswith(f"{path.name}:{line}:{column}: ")
        assert said in shown
        assert "\n" not in shown


def test_there_are_enough_of_them() -> None:
    assert len(WRONG) >= 100
