"""What the judge is meant to reach, held against what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from benchmarks.judge.cells import QUIET_RELEASES, WEIGHTS
from benchmarks.judge.faults import AT_THE_MARGIN, FAULTS
from benchmarks.judge.limits import upper
from benchmarks.judge.measure import OURS, OURS_NEW
from benchmarks.judge.quiet_releases import DEVELOPED_ON
from benchmarks.judge.results import Found, Results

AUTOCORRELATED = "autocorrelated arms"
MISSING = "·"
POOLED = tuple(name for name in DEVELOPED_ON if name != AUTOCORRELATED)
DETECTED_AT = (0.05, 0.1, 0.5)
MOST_WRONG = 0.05
"""Share of the runs of a cell at the no-harm margin that may be promoted."""
LEAST_PROMOTED, LEAST_COVERED = 0.9, 0.98
"""Shares of the runs of a cell without fault: promoted within the hour, and with the interval right at every look."""


@dataclass(frozen=True)
class Target:
    """One target: ``figures`` as they are shown, cell by cell. ``reached`` is None while a cell is missing."""

    what: str
    needed: str
    figures: str
    reached: bool | None

    def __str__(self) -> str:
        return f"{self.what}: {self.figures} (needed {self.needed})"


def targets(results: Results) -> list[Target]:
    """All targets, in the order of the page."""
    return [
        _pooled(results),
        _cells(results, "false rollbacks, autocorrelated arms", "quiet", AUTOCORRELATED, OURS, 0.03),
        _cells(results, "false rollbacks, autocorrelated arms, margin 1.2", "tolerant", AUTOCORRELATED, OURS, 0.015),
        _cells(results, "false rollbacks, over-dispersed, new service", "quiet", "over-dispersed", OURS_NEW, 0.02),
        _cells(results, "false rollbacks, bursts, new service", "quiet", "bursts", OURS_NEW, 0.015),
        *(_detection(results, name) for name, fault in FAULTS.items() if fault.ratio or fault.looks),
        *(_false_promotion(results, name) for name in AT_THE_MARGIN),
        *(_promotion(results, judge) for judge in (OURS, OURS_NEW)),
        *(_coverage(results, of, judge) for of in ("errors", "p97") for judge in (OURS, OURS_NEW)),
    ]


def missed(results: Results) -> list[Target]:
    """Those that are measured and not reached."""
    return [target for target in targets(results) if target.reached is False]


def _pooled(results: Results) -> Target:
    events, runs = results.pooled("quiet", POOLED, WEIGHTS, OURS)
    complete = all(results.found("quiet", name, weight, OURS) for name in POOLED for weight in WEIGHTS)
    limit = upper(events, runs) if runs else 1.0
    return Target(
        "false rollbacks, noise developed on without autocorrelated arms, pooled: 95 % upper limit",
        "at most 1 %",
        f"{events} of {runs:,}: {limit:.2%}" if runs else MISSING,
        limit <= 0.01 if complete else None,
    )


def _cells(results: Results, what: str, kind: str, scenario: str, judge: str, most: float) -> Target:
    found = [results.found(kind, scenario, weight, judge) for weight in WEIGHTS]
    return _judged(what, f"at most {most:.1%} a weight", found, lambda one: f"{one.rate:.2%}", lambda o: o.rate <= most)


def _detection(results: Results, name: str) -> Target:
    fault = FAULTS[name]
    found = [results.found("fault", name, weight, OURS) for weight in DETECTED_AT]
    if fault.looks is not None:
        most = fault.looks
        needed = "at the first look" if most == 1 else f"at most {most} looks"
        return _judged(
            f"median looks to the rollback, {name}",
            needed,
            found,
            lambda one: "never" if one.looks is None else str(one.looks),
            lambda one: one.looks is not None and one.looks <= most,
        )
    largest = fault.ratio or 0.0
    return _judged(
        f"median looks over the bound, {name}",
        f"at most {largest:g}",
        found,
        lambda one: "never" if one.ratio is None else f"{one.ratio:.1f}",
        lambda one: one.ratio is not None and round(one.ratio, 1) <= largest,
    )


def _false_promotion(results: Results, name: str) -> Target:
    found = [results.found("margin", name, weight, judge) for judge in (OURS, OURS_NEW) for weight in WEIGHTS]
    return _judged(
        f"false promotions, {name}, with and without history",
        "at most 5 %",
        found,
        _promoted,
        lambda o: _share(o) <= MOST_WRONG,
    )


def _promotion(results: Results, judge: str) -> Target:
    return _everywhere(
        results,
        f"promoted within the hour, without fault, {judge}",
        LEAST_PROMOTED,
        tuple(QUIET_RELEASES),
        judge,
        _share,
    )


def _coverage(results: Results, of: str, judge: str) -> Target:
    names = tuple(name for name in QUIET_RELEASES if name != AUTOCORRELATED)
    what = f"interval of {of} right at every look, all noise but autocorrelated arms, {judge}"
    return _everywhere(
        results, what, LEAST_COVERED, names, judge, lambda one: float(one.figures["covered"][of]) / one.runs
    )


def _everywhere(
    results: Results, what: str, least: float, names: Sequence[str], judge: str, share: Callable[[Found], float]
) -> Target:
    """A share that must be reached in every quiet cell; the worst is shown, and how many fall short."""
    cells = [(name, weight, results.found("quiet", name, weight, judge)) for name in names for weight in WEIGHTS]
    shares = sorted((share(one), name, weight) for name, weight, one in cells if one is not None)
    short = sum(found < least for found, _, _ in shares)
    complete = len(shares) == len(cells)
    figures = MISSING
    if shares:
        worst, name, weight = shares[0]
        figures = f"lowest {worst:.1%} ({name}, {weight:.0%}); short in {short} of {len(shares)} cells"
    return Target(what, f"at least {least:.0%} in every cell", figures, False if short else True if complete else None)


def _share(one: Found) -> float:
    return float(one.figures["promoted"]) / one.runs


def _promoted(one: Found) -> str:
    return f"{_share(one):.1%}"


def _judged(
    what: str, needed: str, found: Iterable[Found | None], shown: Callable[[Found], str], good: Callable[[Found], bool]
) -> Target:
    every = list(found)
    there = [one for one in every if one is not None]
    figures = " / ".join(MISSING if one is None else shown(one) for one in every)
    if not all(good(one) for one in there):
        return Target(what, needed, figures, False)
    return Target(what, needed, figures, True if len(there) == len(every) else None)
