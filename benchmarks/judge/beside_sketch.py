"""Where a target is missed: the judge beside the sketch it was designed on, from ``results/sketch.json``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from math import sqrt
from pathlib import Path
from typing import Any

from benchmarks.judge.faults import AT_THE_MARGIN
from benchmarks.judge.measure import OURS, OURS_NEW
from benchmarks.judge.results import Found, Results
from benchmarks.judge.tables import table
from benchmarks.judge.targets import AUTOCORRELATED, LEAST_COVERED, LEAST_PROMOTED, MISSING, MOST_WRONG
from benchmarks.report import RESULTS

SURE = 2.0
"""Standard errors of a difference that count as one."""
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
FAIR = """
So where releases with this noise were measured at the margin, the sketch's promotions are counted again, with so much
proof asked of it that at most 5 % of those come through (chosen on the very runs at the margin, in its favour):
releases without fault promoted in time, in % of the runs, Coalmine / sketch. `·`: there Coalmine promotes more than 5 %
of those at the margin itself: not to be compared. **Bold**: Coalmine is lower by more than 2 standard errors.

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
    rows, wrong, fair = [], [], []
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
            if all("promoted_at_proof" in cell["judges"][judge] for judge in (OURS, OURS_NEW)):
                fair.append((name, *_at_proof(found, both, cell)))
    runs = " or ".join(str(number) for number in sorted({cell["runs"] for cell in measured["cells"]}))
    head = HEAD.format(sure=SURE, date=measured["machine"]["date"], runs=runs)
    names = [f"{what}{new}" for new in ("", ", new service") for _, what, _, _ in _FIGURES]
    text = head + table(("release without fault", *names), rows)
    if wrong:
        text += WRONG + table(("release at the margin", "promoted", "promoted, new service"), wrong)
    if fair:
        text += FAIR + table(("release without fault", "promoted", "promoted, new service"), fair)
    return text


def falls_short(name: str, found: Found) -> bool:
    """A quiet cell's promotions, or one of its intervals, miss their target."""
    covered_runs = min(found.figures["covered"][channel] for channel in ("errors", "p97"))
    interval = name != AUTOCORRELATED and int(covered_runs) < LEAST_COVERED * found.runs
    return interval or int(found.figures["promoted"]) < LEAST_PROMOTED * found.runs


def _wrong(ours: Sequence[Found], cell: Mapping[str, Any]) -> list[str]:
    return [
        _pair(one, int(one.figures["promoted"]), cell, int(cell["judges"][judge]["promoted"]), _sketch_is_wrong)
        for judge, one in zip((OURS, OURS_NEW), ours, strict=True)
    ]


def _at_proof(results: Results, ours: Sequence[Found], cell: Mapping[str, Any]) -> list[str]:
    return [
        _pair(one, int(one.figures["promoted"]), cell, int(cell["judges"][judge]["promoted_at_proof"]), _short_of())
        if _keeps_to_it(results, judge, cell)
        else MISSING
        for judge, one in zip((OURS, OURS_NEW), ours, strict=True)
    ]


def _keeps_to_it(results: Results, judge: str, cell: Mapping[str, Any]) -> bool:
    """Of releases at the margin with a cell's noise the judge promotes no more than it may."""
    names = [name for name, (_, quiet) in AT_THE_MARGIN.items() if quiet == cell["scenario"]]
    margin = [results.found("margin", name, cell["weight"], judge) for name in names]
    return all(one is None or int(one.figures["promoted"]) <= MOST_WRONG * one.runs for one in margin)


def _columns(ours: Sequence[Found], cell: Mapping[str, Any]) -> list[str]:
    columns = []
    for judge, one in zip((OURS, OURS_NEW), ours, strict=True):
        for name, _, of, least in _FIGURES:
            if name != "promoted" and cell["scenario"] == AUTOCORRELATED:
                columns.append("·")
            else:
                columns.append(_pair(one, of(one.figures), cell, of(cell["judges"][judge]), _short_of(least)))
    return columns


def _short_of(least: float = LEAST_PROMOTED) -> Callable[[float, float], bool]:
    return lambda mine, _: mine < least


def _sketch_is_wrong(_: float, sketch: float) -> bool:
    return sketch > MOST_WRONG


def _pair(one: Found, mine: int, cell: Mapping[str, Any], sketch: int, matters: Callable[[float, float], bool]) -> str:
    """Both in % of their runs, bold where it matters and ours is surely lower."""
    ours, others = mine / one.runs, sketch / cell["runs"]
    error = sqrt(ours * (1 - ours) / one.runs + others * (1 - others) / cell["runs"])
    text = f"{100 * ours:.1f} / {100 * others:.1f}"
    return f"**{text}**" if matters(ours, others) and others - ours > SURE * error else text
