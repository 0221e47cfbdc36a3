"""Beside each target that is missed: is the judge no worse than the sketch, by whose rules, and where not?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.judge.beside_sketch import beside_sketch
from benchmarks.judge.measure import OURS, OURS_NEW
from benchmarks.judge.missed_targets import sentence
from benchmarks.judge.results import Results
from benchmarks.judge.sketch_results import EQUAL, FOR_ALL, Sketch, surely_fewer, surely_less
from benchmarks.judge.targets import targets

Key = tuple[str, str, float]
BURSTS: Key = ("quiet", "bursts", 0.1)
AT_MARGIN: Key = ("margin", "errors at 1.5 times the odds, bursts", 0.1)
COVERED = {"errors": 400, "p97": 400}


def cells(figures: dict[Key, dict[str, Any]]) -> dict[Key, dict[str, Any]]:
    """Each judge of a cell does the same."""
    found = {}
    for (kind, scenario, weight), one in figures.items():
        base = {"kind": kind, "scenario": scenario, "weight": weight, "runs": 400, "onset": 0, "bound_looks": 1}
        found[kind, scenario, weight] = base | {"judges": dict.fromkeys((OURS, OURS_NEW), one)}
    return found


def said(what: str, ours: dict[Key, dict[str, Any]], sketch: dict[Key, dict[str, Any]]) -> str:
    found = Results({}, 1, 2, cells(ours))
    target = next(one for one in targets(found) if one.what.startswith(what))
    return sentence(target, found, Sketch("2026-01-01", cells(sketch)))


def promotions(number: int, ours: int) -> dict[str, int]:
    """Of the sketch, where one of the judges promotes all that the other does."""
    return {"promoted": number, "only_sketch": max(0, number - ours), "only_coalmine": max(0, ours - number)}


def quiet(number: int, *equal: int, ours: int = 300, covered: int = 400, rolled_back: int = 0) -> dict[str, Any]:
    """``equal``: the sketch's promotions at equal error, as it is measured in four ways."""
    found: dict[str, Any] = promotions(number, ours)
    found |= {"rolled_back": rolled_back, "rolled_back_as_made": rolled_back, "covered": COVERED | {"errors": covered}}
    if equal:
        found["equal"] = {of: promotions(one, ours) for of, one in zip(EQUAL, equal, strict=True)}
    return found


PROMOTED = "promoted within the hour, without fault, Coalmine"


def test_a_difference_counts_beyond_two_standard_errors() -> None:
    assert not surely_less(0.80, 400, 0.85, 400)
    assert surely_less(0.80, 400, 0.86, 400)
    assert not surely_less(1.0, 400, 1.0, 400)
    assert not surely_less(0.9, 400, 0.8, 400)
    # Of the runs that only one of both promotes: half would be the one's and half the other's by chance.
    assert not surely_fewer(0, 0)
    assert not surely_fewer(0, 4)
    assert surely_fewer(0, 5)
    assert not surely_fewer(20, 33)
    assert surely_fewer(20, 36)
    assert not surely_fewer(36, 20)


def test_what_is_no_worse_is_called_so_with_its_figures() -> None:
    line = said(PROMOTED, {BURSTS: quiet(300)}, {BURSTS: quiet(304)})
    assert line == "**no worse than the sketch**; on average 75.0 / 76.0, at the worst bursts, 10%: 75.0 / 76.0."
    other: Key = ("quiet", "bursts", 0.05)
    line = said(PROMOTED, {BURSTS: quiet(300), other: quiet(200)}, {BURSTS: quiet(304), other: quiet(200, ours=200)})
    assert line.endswith("; on average 62.5 / 63.0, at the worst bursts, 10%: 75.0 / 76.0.")


def test_what_is_worse_is_named_and_held_against_equal_error() -> None:
    ours = {BURSTS: quiet(300)}
    assert said(PROMOTED, ours, {BURSTS: quiet(360, 300, 304, 200, 100)}) == (
        "**no worse than the sketch at equal error**; by the sketch's own rules worse in 1 of 1 "
        "(bursts, 10%: 75.0 / 90.0); on average 75.0 / 90.0."
    )
    line = said(PROMOTED, ours, {BURSTS: quiet(360, 300, 340, 340, 310)})
    assert line.startswith("**worse than the sketch in 1 of 1 (bursts, 10%: 75.0 / 85.0)** if under each noise 5 %")
    assert "; in 1 of 1 (bursts, 10%: 75.0 / 77.5) if only as few as through Coalmine; in 1 of 1 (bursts" in line
    line = said(PROMOTED, ours, {BURSTS: quiet(360, 350, 340, 300, 200)})
    assert line.startswith("**worse than the sketch in 1 of 1 (bursts, 10%: 75.0 / 87.5)**")
    assert "; in none if only as few as through Coalmine; in none with one proof for all noise;" in line


def test_where_the_error_was_not_measured_the_sketch_stands_by_its_own_rule() -> None:
    its = quiet(360)
    its["equal"] = {FOR_ALL: promotions(200, 300)}
    line = said(PROMOTED, {BURSTS: quiet(300)}, {BURSTS: its})
    assert line.startswith("**worse than the sketch in 1 of 1 (bursts, 10%: 75.0 / 90.0)** if")


def test_what_the_sketch_was_not_run_on_is_not_known() -> None:
    line = said(PROMOTED, {BURSTS: quiet(300)}, {})
    assert line == "**not known**: of 1 cells that fall short the sketch was run in 0."


def test_of_harm_that_is_promoted_less_is_better_and_counted_by_the_proof_alone() -> None:
    ours, what = {AT_MARGIN: {"promoted": 100}}, "false promotions, errors at 1.5 times the odds, bursts"
    line = said(what, ours, {AT_MARGIN: {"proven": 160, "promoted": 4}})
    assert line.startswith("**no worse than the sketch**; on average 25.0 / 40.0")
    line = said(what, ours, {AT_MARGIN: {"proven": 60, "promoted": 60}})
    assert line.startswith("**worse than the sketch in 2 of 2 (")


def test_intervals_are_compared_too() -> None:
    line = said("interval of errors right", {BURSTS: quiet(400, covered=300)}, {BURSTS: quiet(400, covered=200)})
    assert line == "**no worse than the sketch**; on average 75.0 / 50.0, at the worst bursts, 10%: 75.0 / 50.0."


def test_the_section_shows_all_that_is_compared_and_marks_what_is_worse(tmp_path: Path) -> None:
    found = Results(
        {}, 1, 2, cells({BURSTS: quiet(300, covered=300, rolled_back=8), AT_MARGIN: {"promoted": 2, "rolled_back": 9}})
    )
    margin = {"proven": 80, "promoted": 40, "coalmine_promoted": 1, "rolled_back": 200, "rolled_back_as_made": 200}
    its = {BURSTS: quiet(360, 300, 304, 200, 100, covered=200, rolled_back=60), AT_MARGIN: margin}
    text = drawn(found, its, tmp_path)
    line = "| bursts, 10% | 2.0 / 15.0 | **75.0 / 90.0** | 75.0 / 75.0 | 75.0 / 76.0 | 75.0 / 50.0 | 75.0 / 25.0 |"
    assert text.count(line) == 2
    assert "| bursts, 10%, new service | 75.0 / 50.0 | 100.0 / 100.0 |" in text
    both = "**2.2 / 50.0** | 0.5 / 20.0 | 0.2 / 10.0"
    assert f"| errors at 1.5 times the odds, bursts, 10% | {both} | {both} |" in text
    assert "| bursts, new service | 0.25 / 0.75 / 1 / 1.75 | · / · / 15 / · |" in text
    assert "Of these 1 cells they differ in 1 (bursts, 10%) (Fisher's exact test, 5%)." in text
    line = "| bursts, 10% | **2.0 / 0.0** | **75.0 / 90.0** | · | · | · | · |"
    assert drawn(found, {BURSTS: quiet(360)}, tmp_path).count(line) == 2


def drawn(found: Results, sketch: dict[Key, dict[str, Any]], folder: Path) -> str:
    path = folder / "sketch.json"
    path.write_text(json.dumps({"machine": {"date": "2026-01-01"}, "cells": [*cells(sketch).values()]}))
    return beside_sketch(found, path)


def test_nothing_is_said_of_a_sketch_that_was_not_measured(tmp_path: Path) -> None:
    assert beside_sketch(Results({}, 1, 2, cells({BURSTS: quiet(300)})), tmp_path / "none.json") == ""
