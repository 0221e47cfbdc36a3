"""Where a target is missed: the judge beside the sketch it was designed on, from ``results/sketch.json``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from math import sqrt
from pathlib import Path
from typing import Any

from benchmarks.judge.measure import OURS, OURS_NEW
from benchmarks.judge.results import Found, Results
from benchmarks.judge.tables import table
from benchmarks.judge.targets import AUTOCORRELATED, LEAST_COVERED, LEAST_PROMOTED
from benchmarks.report import RESULTS

SURE = 2.0
"""Standard errors of a difference that count as one."""
MOST_WRONG = 0.05
HEAD = """## Beside the sketch it came from

The judge began as a sketch of a few hundred lines: the same conditional e-process, without scores in its proof of no
harm, without its second null "below 0.5 %", and with an interval from one tempered likelihood. Where a target is missed
it counts as kept if the sketch does no better. So this is what the sketch's rules make of the very runs in which one
is missed, in % of the runs, Coalmine / sketch; its promotions count whether or not it would have rolled back before.
**Bold**: Coalmine is lower by more than {sure:g} standard errors. `·`: not a target there. Measured {date}; of
{runs} runs a cell.

"""
WRONG = """
What such promotions are worth: releases exactly at the no-harm margin, of which at most 5 % may be promoted; in % of
the runs, Coalmine / sketch. **Bold**: the sketch is above 5 %, and Coalmine is lower by more than 2 standard errors.

"""
_FIGURES: tuple[tuple[str, str, Callable[[Mapping[str, Any]], int], float], ...] = (
    ("promoted", "promoted", lambda one: int(one["promoted"]), LEAST_PROMOTED),
    ("errors", "interval of errors", lambda one: int(one["covered"]["errors"]), LEAST_COVERED),
    ("p97", "interval of p97", lambda one: int(one["covered"]["p97"]), LEAST_COVERED),
)


def beside_sketch(found: Results, path: Path = RESULTS / "sketch.json") -> str:
    """The section; empty while nothing is measured."""
    if not path.exists():
        return ""
    measured = json.loads(path.read_text())
    rows, wrong = [], []
    for cell in measured["cells"]:
        kind = cell.get("kind", "quiet")
        ours = [found.found(kind, cell["scenario"], cell["weight"], judge) for judge in (OURS, OURS_NEW)]
        both = [one for one in ours if one is not None]
        if len(both) < len(ours):
            continue
        name = f"{cell['scenario']}, {cell['weight']:.0%}"
        if kind == "margin":
            wrong.append((name, *_wrong(both, cell)))
        elif any(falls_short(cell["scenario"], one) for one in both):
            rows.append((name, *_columns(both, cell)))
    runs = " or ".join(str(number) for number in sorted({cell["runs"] for cell in measured["cells"]}))
    head = HEAD.format(sure=SURE, date=measured["machine"]["date"], runs=runs)
    names = [f"{what}{new}" for new in ("", ", new service") for _, what, _, _ in _FIGURES]
    text = head + table(("release without fault", *names), rows)
    if wrong:
        text += WRONG + table(("release at the margin", "promoted", "promoted, new service"), wrong)
    return text


def falls_short(name: str, found: Found) -> bool:
    """A quiet cell's promotions, or one of its intervals, miss their target."""
    covered_runs = min(found.figures["covered"][channel] for channel in ("errors", "p97"))
    interval = name != AUTOCORRELATED and int(covered_runs) < LEAST_COVERED * found.runs
    return interval or int(found.figures["promoted"]) < LEAST_PROMOTED * found.runs


def _wrong(ours: Sequence[Found], cell: Mapping[str, Any]) -> list[str]:
    columns = []
    for judge, one in zip((OURS, OURS_NEW), ours, strict=True):
        mine, other = int(one.figures["promoted"]) / one.runs, int(cell["judges"][judge]["promoted"]) / cell["runs"]
        text = f"{100 * mine:.1f} / {100 * other:.1f}"
        sure = other - mine > SURE * _error(mine, one.runs, other, cell["runs"])
        columns.append(f"**{text}**" if other > MOST_WRONG and sure else text)
    return columns


def _error(mine: float, runs: int, other: float, others: int) -> float:
    return sqrt(mine * (1 - mine) / runs + other * (1 - other) / others)


def _columns(ours: Sequence[Found], cell: Mapping[str, Any]) -> list[str]:
    columns = []
    for judge, one in zip((OURS, OURS_NEW), ours, strict=True):
        for name, _, of, least in _FIGURES:
            if name != "promoted" and cell["scenario"] == AUTOCORRELATED:
                columns.append("·")
                continue
            mine, other = of(one.figures) / one.runs, of(cell["judges"][judge]) / cell["runs"]
            text = f"{100 * mine:.1f} / {100 * other:.1f}"
            error = _error(mine, one.runs, other, cell["runs"])
            columns.append(f"**{text}**" if mine < least and other - mine > SURE * error else text)
    return columns
