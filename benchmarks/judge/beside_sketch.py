"""Where a target is missed: the judge beside the sketch it was designed on, from ``results/sketch.json``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from scipy.stats import fisher_exact

from benchmarks.judge.cells import QUIET_RELEASES, WEIGHTS
from benchmarks.judge.faults import AT_THE_MARGIN
from benchmarks.judge.measure import OURS, OURS_NEW
from benchmarks.judge.results import Found, Results
from benchmarks.judge.sketch_results import (
    EQUAL,
    ITS_OWN_FIGURES,
    RUNS_THEN,
    SURE,
    Sketch,
    apart,
    read,
    surely_fewer,
    surely_less,
)
from benchmarks.judge.tables import table
from benchmarks.judge.targets import AUTOCORRELATED, LEAST_COVERED, LEAST_PROMOTED, MISSING, share_of
from benchmarks.report import RESULTS

INTERVALS = ("errors", "p97")
HEAD = """## Beside the sketch it came from

The judge began as a sketch of a few hundred lines: the same conditional e-process, without scores in its proof of no
harm, without its second null "below 0.5 %", with another estimate of the noise, and with an interval from one tempered
likelihood. Where a target is missed it counts as kept if the sketch does no better. So this is what the sketch's rules
make of the very runs in which one is missed. It rolls back by its own rule, errors and latency at alpha 1 %, and what
it rolls back before no harm is proven is not promoted, as with Coalmine. Its crash guard is given the second null that
it lacked{guard}. All in % of the runs, Coalmine / sketch.
**Bold**: Coalmine is worse by more than {sure:g} standard errors; of promotions, by the runs in which both disagree
(McNemar), for they see the same traffic. Measured {date}; of {runs} runs a cell.
"""
QUIET = """
### Releases without fault

**Equal error**, the columns after "promoted": so much proof is asked of the sketch that of the releases [at the
margin](#at-the-margin) with this noise and weight it lets through no more than 5 %, or than Coalmine does where that is
more: counted by the proof alone; in all, those left out that are rolled back before; and, as nobody knows a service's
noise beforehand, by one proof for all noise. In the last column it lets through no more than Coalmine does by its
proof, which is mostly far below 5 %. The proof is chosen on the very runs at the margin, in the sketch's favour. `·`:
noise that was not measured at the margin.
"""
OF_JUDGE = """
{judge}:

"""
COVERED = """
### Intervals

Runs in which the interval was right at every look, where that target is missed.

"""
WRONG = """
### At the margin

What the promotions are worth: releases exactly at the no-harm margin, of which no harm may be proven in at most 5 %;
promoted are those that are not rolled back before.

"""
UNLIKELY = 0.05
AGREES = """
### Is it the same sketch?

Releases without fault that the sketch rolls back, in % at weights 1 / 5 / 10 / 50 %: when it was made, of {then} runs a
weight with seeds of its own, and here.
{verdict}

"""


def beside_sketch(found: Results, path: Path = RESULTS / "sketch.json") -> str:
    """The section; empty while nothing is measured."""
    sketch = read(path)
    if sketch is None:
        return ""
    runs = " or ".join(str(number) for number in sorted({cell["runs"] for cell in sketch.cells.values()}))
    text = HEAD.format(guard=_outage(sketch), sure=SURE, date=sketch.date, runs=runs)
    heads = ("release without fault", "rolled back", "promoted", *EQUAL)
    quiet = {judge: list(_quiet(found, sketch, judge)) for judge in (OURS, OURS_NEW)}
    text += QUIET if any(quiet.values()) else ""
    text += "".join(OF_JUDGE.format(judge=judge) + table(heads, rows) for judge, rows in quiet.items() if rows)
    parts = (
        (COVERED, ("release without fault", "interval of errors", "interval of p97"), list(_covered(found, sketch))),
        (
            WRONG,
            (
                "release at the margin",
                *(f"{what}{new}" for new in ("", ", new service") for what in ("rolled back", "proven", "promoted")),
            ),
            list(_margin(found, sketch)),
        ),
    )
    return text + "".join(head + table(names, rows) for head, names, rows in parts if rows) + _agreement(sketch)


def falls_short(name: str, found: Found) -> bool:
    """A quiet cell's promotions, or one of its intervals, miss their target."""
    return _few_promoted(found) or any(_seldom_right(name, found, of) for of in INTERVALS)


def _few_promoted(found: Found) -> bool:
    return share_of(found, "promoted") < LEAST_PROMOTED


def _seldom_right(name: str, found: Found, of: str) -> bool:
    return name != AUTOCORRELATED and share_of(found, of) < LEAST_COVERED


def _cells(found: Results, sketch: Sketch, judge: str) -> Iterator[tuple[str, float, Found, Found]]:
    """Quiet cells that both were measured at, in the order of the page."""
    for name in QUIET_RELEASES:
        for weight in WEIGHTS:
            ours, theirs = (one.found("quiet", name, weight, judge) for one in (found, sketch))
            if ours is not None and theirs is not None:
                yield name, weight, ours, theirs


def _quiet(found: Results, sketch: Sketch, judge: str) -> Iterator[Sequence[str]]:
    for name, weight, ours, theirs in _cells(found, sketch, judge):
        if _few_promoted(ours):
            equal = theirs.figures.get("equal", {})
            promoted = int(ours.figures["promoted"])
            yield (
                f"{name}, {weight:.0%}",
                _pair(ours, ours.rolled_back, theirs, theirs.rolled_back, more_is_worse=True),
                *(
                    MISSING if one is None else _pair(ours, promoted, theirs, int(one["promoted"]), only=apart(one))
                    for one in (theirs.figures, *(equal.get(of) for of in EQUAL))
                ),
            )


def _covered(found: Results, sketch: Sketch) -> Iterator[Sequence[str]]:
    for judge, new in ((OURS, ""), (OURS_NEW, ", new service")):
        for name, weight, ours, theirs in _cells(found, sketch, judge):
            if any(_seldom_right(name, ours, of) for of in INTERVALS):
                pairs = ((int(one.figures["covered"][of]) for one in (ours, theirs)) for of in INTERVALS)
                yield f"{name}, {weight:.0%}{new}", *(_pair(ours, mine, theirs, its) for mine, its in pairs)


def _margin(found: Results, sketch: Sketch) -> Iterator[Sequence[str]]:
    for name in AT_THE_MARGIN:
        for weight in WEIGHTS:
            columns: list[str] = []
            for judge in (OURS, OURS_NEW):
                ours, theirs = (one.found("margin", name, weight, judge) for one in (found, sketch))
                if ours is not None and theirs is not None:
                    its = theirs.figures
                    columns += [
                        _pair(ours, ours.rolled_back, theirs, theirs.rolled_back),
                        _pair(ours, int(ours.figures["promoted"]), theirs, int(its["proven"]), more_is_worse=True),
                        _pair(theirs, its["coalmine_promoted"], theirs, int(its["promoted"]), more_is_worse=True),
                    ]
            if len(columns) == 6:
                yield f"{name}, {weight:.0%}", *columns


def _pair(
    ours: Found,
    mine: int,
    theirs: Found,
    its: int,
    *,
    more_is_worse: bool = False,
    only: tuple[int, int] | None = None,
) -> str:
    """Both in % of their runs, bold where ours is surely worse; ``only``: the runs that count for one of both."""
    our_share, their_share = mine / ours.runs, its / theirs.runs
    text = f"{100 * our_share:.1f} / {100 * their_share:.1f}"
    if only is not None:
        worse = surely_fewer(*only)
    elif more_is_worse:
        worse = surely_less(their_share, theirs.runs, our_share, ours.runs)
    else:
        worse = surely_less(our_share, ours.runs, their_share, theirs.runs)
    return f"**{text}**" if worse else text


def _outage(sketch: Sketch) -> str:
    """What the sketch's own crash guard does where both arms fail, if that was measured."""
    cells = [sketch.found("quiet", name, weight, OURS) for name, weight in sketch.every("quiet")]
    there = [one for one in cells if one is not None]
    more = [one for one in there if int(one.figures["rolled_back_as_made"]) > one.rolled_back]
    if not more:
        return ""
    rolled_back = sum(int(one.figures["rolled_back_as_made"]) for one in more) / sum(one.runs for one in more)
    return f", for without it an outage of both arms is rolled back ({100 * rolled_back:.1f} %)"


def _agreement(sketch: Sketch) -> str:
    """How often the sketch rolls back here, and when it was made."""
    rows, differ, compared = [], [], 0
    for (name, judge), then in ITS_OWN_FIGURES.items():
        here = [sketch.found("quiet", name, weight, judge) for weight in WEIGHTS]
        for weight, one, was in zip(WEIGHTS, here, then, strict=True):
            if one is not None:
                compared += 1
                events = round(was * RUNS_THEN / 100.0)
                counts = [[one.rolled_back, one.runs - one.rolled_back], [events, RUNS_THEN - events]]
                if fisher_exact(counts).pvalue < UNLIKELY:
                    differ.append(f"{name}, {weight:.0%}")
        rows.append((_named(name, judge), _row(then), _row(None if one is None else 100 * one.rate for one in here)))
    if not compared:
        return ""
    which = f"in {len(differ)} ({'; '.join(differ)})" if differ else "in none"
    verdict = f"Of these {compared} cells they differ {which} (Fisher's exact test, {UNLIKELY:.0%})."
    return AGREES.format(then=RUNS_THEN, verdict=verdict) + table(("release without fault", "then", "here"), rows)


def _named(name: str, judge: str) -> str:
    return f"{name}, new service" if judge == OURS_NEW else f"{name}, with history"


def _row(shares: Iterable[float | None]) -> str:
    return " / ".join(MISSING if share is None else f"{share:g}" for share in shares)
