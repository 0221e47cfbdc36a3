"""The mutation testing itself: what is changed and drawn, where the changed module is found, what is explained."""

from __future__ import annotations

import ast
import importlib
import os
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.mutants import lines, trial
from benchmarks.mutants.explanations import ExplanationError, Explanations
from benchmarks.mutants.lines import Reach, Recorder, reaching
from benchmarks.mutants.population import Mutant, all_mutants, draw, mutants_of, mutated
from benchmarks.mutants.record import Tried, explained, key_of, summed, tried_again
from benchmarks.mutants.trial import Outcome

SOURCE = '''"""Text of the module."""

from functools import cache

LIMIT: int = 3


@cache
def remembered(x: int) -> int:
    return x * 2


def above(value: float, names: list[str] | None = None) -> bool:
    """Text of the function."""
    total = value + 1.5
    if value < LIMIT and not names:
        total -= max(value, 0)
    return total >= 0.0 or f"at {value:.1f}" in (names or [])
'''


def changes(source: str, file: str = "m.py") -> set[tuple[str, str, str]]:
    return {(one.operator, one.before, one.after) for one in mutants_of(source, file)}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("x = a + b", {("arithmetic", "x = a - b")}),
        ("x = a ** b", {("arithmetic", "x = a * b")}),
        ("x = a & b", {("arithmetic", "x = a | b")}),
        ("x += a", {("arithmetic", "x -= a"), ("assignment", "x = a")}),
        ("x = -a", {("sign", "x = a")}),
        ("x = not a", {("boolean", "x = a")}),
        ("x = a or b", {("boolean", "x = a and b")}),
        ("x = a <= b", {("comparison", "x = a > b"), ("boundary", "x = a < b")}),
        ("x = a == b", {("comparison", "x = a != b")}),
        ("x = a in b", {("comparison", "x = a not in b")}),
        ("x = True", {("boolean", "x = False")}),
        ("x = 0", {("constant", "x = 1")}),
        ("x = 4", {("constant", "x = 5"), ("constant", "x = 3")}),
        ("x = 0.0", {("constant", "x = 1.0")}),
        ("x = 0.3", {("constant", "x = 0.6"), ("constant", "x = 0.15")}),
        ("x = 'a'", {("text", "x = 'XXaXX'")}),
        ("x = f(a)", {("call", "x = a")}),
        ("x = f(a, b)", {("argument", "x = f(b)"), ("argument", "x = f(a)"), ("call", "x = a")}),
        ("x = f(a, k=b)", {("argument", "x = f(a)"), ("call", "x = a")}),
        ("x = f(*a)", set()),
        ("x = f'{a} b'", {("text", "f'{a}XX bXX'")}),
        ("def f():\n    return a", {("return", "return None")}),
        ("def f():\n    return None", set()),
        ("while a:\n    x = b", {("boolean", "while not a:")}),
        ("if a < b:\n    x = b", {("comparison", "if a >= b:"), ("boundary", "if a <= b:")}),
    ],
)
def test_operators(line: str, expected: set[tuple[str, str]]) -> None:
    assert {(operator, after) for operator, _, after in changes(line)} == expected


def test_what_says_nothing_to_the_machine_is_left_as_it_is() -> None:
    quiet = '''"""Text."""
from typing import Literal, TypeVar
import numpy as np
__all__ = ["a"]
T = TypeVar("T")
Kind = Literal["a", "b"]
def f(x: Literal["c"]) -> "T":
    """Text."""
    pass
'''
    assert changes(quiet) == set()


def test_every_mutant_compiles_and_differs() -> None:
    mutants = mutants_of(SOURCE, "m.py")
    assert len(mutants) > 20
    plain = ast.unparse(ast.parse(SOURCE))
    seen = {ast.unparse(mutated(SOURCE, one)) for one in mutants}
    assert len(seen) == len(mutants)
    assert plain not in seen
    for one in mutants:
        compile(mutated(SOURCE, one), "m.py", "exec")


def test_a_part_that_takes_the_place_of_the_whole_keeps_its_own() -> None:
    assert changes("x = f(-1)") == {
        ("call", "x = f(-1)", "x = -1"),
        ("sign", "x = f(-1)", "x = f(1)"),
        ("constant", "x = f(-1)", "x = f(-2)"),
        ("constant", "x = f(-1)", "x = f(-0)"),
    }


def test_a_mutant_says_where_it_is() -> None:
    mutants = {one.before: one for one in mutants_of(SOURCE, "coalmine/analysis/m.py")}
    total = mutants["total = value + 1.5"]
    assert (total.inside, total.line, total.span, total.everywhere) == ("above", 15, (15, 15), False)
    assert total.module == "coalmine.analysis.m"
    assert mutants["LIMIT: int = 3"].everywhere
    assert mutants["return x * 2"].everywhere, "remembered results are reached by one test only"
    assert mutants["if value < LIMIT and not names:"].span == (16, 16)
    package = mutants_of("x = 1", "coalmine/analysis/__init__.py")[0]
    assert package.module == "coalmine.analysis"


def test_the_draw_is_seeded_and_shared_out_by_size() -> None:
    large = "\n".join(f"x{number} = a{number} + b" for number in range(300))
    small = "\n".join(f"y{number} = a{number} + b" for number in range(100))
    tiny = "z = a + b"
    population = [one for file, text in (("l", large), ("s", small), ("t", tiny)) for one in mutants_of(text, file)]
    drawn = draw(population, 40, seed=5)
    assert Counter(one.file for one in drawn) == {"l": 30, "s": 10, "t": 1}
    assert draw(population, 40, seed=5) == drawn
    assert draw(population, 40, seed=6) != drawn
    assert len({(one.file, one.node) for one in drawn}) == len(drawn)
    # A file that grows does not change what is drawn of another.
    assert [one for one in draw(population[:-1], 40, seed=5) if one.file == "s"] == [
        one for one in drawn if one.file == "s"
    ]


def test_the_analysis_has_more_than_enough() -> None:
    population = all_mutants()
    assert len(draw(population, 400, seed=1)) >= 400
    assert {one.file for one in draw(population, 400, seed=1)} == {one.file for one in population}


def test_a_mutant_is_tried_on_the_tests_that_run_its_statement() -> None:
    one = next(one for one in mutants_of(SOURCE, "m.py") if one.before == "total = value + 1.5")
    everywhere = next(one for one in mutants_of(SOURCE, "m.py") if one.before == "LIMIT: int = 3")
    recorder = Recorder()
    recorder.reached = {
        "slow": Reach(9.0, {"m.py": {15}}),
        "second": Reach(0.2, {"m.py": {14, 15}}),
        "first": Reach(0.1, {"m.py": {15}}),
        "other": Reach(0.1, {"m.py": {16}, "n.py": {15}}),
    }
    assert reaching(one, recorder, slowest=3.0) == ["first", "second"]
    assert reaching(one, recorder, slowest=10.0) == ["first", "second", "slow"]
    assert reaching(everywhere, recorder, slowest=3.0) == ["first", "other", "second"]
    recorder.imported = {"m.py": {15}}
    assert reaching(one, recorder, slowest=3.0) == ["first", "other", "second"], "it runs when the module is imported"


def test_lines_that_run_when_a_conftest_imports_the_module_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "imported_ahead.py").write_text("def made() -> int:\n    return 3\n\n\nTHREE = made()\n")
    (tmp_path / "conftest.py").write_text("import imported_ahead\n")
    (tmp_path / "test_late.py").write_text("import imported_ahead\n\ndef test_it():\n    imported_ahead.THREE\n")
    monkeypatch.setattr(lines, "ROOT", tmp_path)
    monkeypatch.setattr(lines, "_PREFIX", f"{tmp_path}/imported")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = trial.record([str(tmp_path)], tmp_path / "base")
    # And 0, where Python 3.11 and later begin a module.
    assert found.imported["imported_ahead.py"] - {0} == {1, 2, 5}
    assert [reach.lines for reach in found.reached.values()] == [{}]


def test_a_child_answers_or_says_what_happened() -> None:
    assert trial._in_child(lambda: {"a": 1}) == (0, {"a": 1})
    status, answer = trial._in_child(lambda: 1 // 0)
    assert os.waitstatus_to_exitcode(status) == 1
    assert answer == "ZeroDivisionError: integer division or modulo by zero"
    status, answer = trial._in_child(lambda: os.kill(os.getpid(), signal.SIGKILL))
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert answer is None


def test_the_changed_module_is_found_in_place_of_the_real_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mutant_victim.py").write_text("ANSWER = 41 + 1\n")
    monkeypatch.setattr(trial, "ROOT", tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    mutant = next(one for one in mutants_of("ANSWER = 41 + 1\n", "mutant_victim.py") if one.operator == "arithmetic")

    def answer() -> int:
        trial._put_in_place(mutant)
        return int(importlib.import_module("mutant_victim").ANSWER)

    assert trial._in_child(answer) == (0, 40)
    assert "mutant_victim" not in sys.modules


def entries(**entry: str) -> dict[str, list[dict[str, str]]]:
    fields = {
        "file": "m.py",
        "inside": "",
        "before": "x = a + b",
        "after": "x = a - b",
        "kind": "equivalent",
        "why": "w",
    }
    return {"mutant": [fields | entry]}


def survivor() -> Mutant:
    return mutants_of("x = a + b", "m.py")[0]


def test_explanations_are_found_by_change_and_by_rule() -> None:
    exact = Explanations(entries()).of(survivor().key)
    assert exact is not None
    assert (exact.kind, exact.why) == ("equivalent", "w")
    assert Explanations(entries(inside="f")).of(survivor().key) is None
    rule = {"before": r"x = .*", "after": r"x = a . b", "kind": "guard", "why": "r"}
    found = Explanations({"rule": [rule]}).of(survivor().key)
    assert found is not None
    assert found.kind == "guard"
    assert Explanations({"rule": [rule | {"before": "x"}]}).of(survivor().key) is None
    assert Explanations({"rule": [rule | {"file": "n.py"}]}).of(survivor().key) is None
    assert Explanations(entries(after="gone")).stale([survivor()]) == ["m.py : x = a + b"]
    assert Explanations(entries()).stale([survivor()]) == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (entries(kind="luck"), "mutant 1: kind: 'luck' is none of equivalent, guard, speed, tolerance"),
        ({"mutant": [{"file": "m.py"}]}, "mutant 1: inside: None is no text: copy it from the result"),
        ({"rule": [{"before": "("}]}, "rule 1: before: no regular expression"),
    ],
)
def test_a_wrong_entry_is_refused(wrong: dict[str, list[dict[str, str]]], message: str) -> None:
    with pytest.raises(ExplanationError, match=f"^explained.toml: {message}"):
        Explanations(wrong)


def test_the_entries_of_the_repository_can_be_read() -> None:
    Explanations.read()


def test_a_record_sums_up_and_learns_of_new_tests_and_explanations() -> None:
    plus, other = mutants_of("x = a + b", "m.py")[0], mutants_of("y = a < b", "n.py")
    tried = [
        Tried(plus, Outcome("survived"), 4),
        Tried(other[0], Outcome("killed", "t", "AssertionError"), 2),
        Tried(other[1], Outcome("timeout"), 2),
    ]
    record = summed(tried, Explanations({}))
    sums = {"mutants": 3, "killed": 1, "timeout": 1, "survived": 1, "score": 0.6667}
    assert {name: record[name] for name in sums} == sums
    assert record["noticed_by"] == {"assertion": 1}
    assert record["files"]["m.py"] == {"mutants": 1, "killed": 0, "timeout": 0, "survived": 1, "score": 0.0}
    assert record["operators"]["arithmetic"]["survived"] == 1
    assert record["unexplained"] == 1
    assert [(one["before"], one["after"], one["tests"]) for one in record["survivors"]] == [
        ("x = a + b", "x = a - b", 4)
    ]
    assert key_of(record["survivors"][0]) == plus.key
    known = explained(record, Explanations(entries()))
    assert (known["unexplained"], known["survivors"][0]["kind"], known["survivors"][0]["why"]) == (0, "equivalent", "w")
    same = tried_again(record, {plus.key: Outcome("survived")})
    assert (same["score"], same["score_at_first"], same["survived"]) == (0.6667, 0.6667, 1)
    better = tried_again(record, {plus.key: Outcome("killed")})
    assert (better["score"], better["score_at_first"], better["killed"], better["survivors"]) == (1.0, 0.6667, 2, [])
    assert better["files"]["m.py"] == {"mutants": 1, "killed": 1, "timeout": 0, "survived": 0, "score": 1.0}
    assert better["operators"]["arithmetic"]["score"] == 1.0
    assert tried_again(better, {})["score_at_first"] == 0.6667
