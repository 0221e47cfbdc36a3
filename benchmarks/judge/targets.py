"""What the judge is meant to reach, held against what was measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


Place = tuple[str, str, float, str]
"""Kind, scenario, weight, judge."""


@dataclass(frozen=True)
class Target:
    """One target: ``figures`` as they are shown, cell by cell. ``reached`` is None while a cell is missing.

    ``short``: where it is missed. ``share``: what is counted there, "promoted", "rolled_back", "errors" or "p97" (the
    intervals of these); empty where no share is.
    """

    what: str
    needed: str
    figures: str
    reached: bool | None
    short: tuple[Place, ...] = ()
    share: str = ""

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
    places = [(kind, scenario, weight, judge) for weight in WEIGHTS]
    needed = f"at most {most:.1%} a weight"
    return _judged(
        results, what, needed, places, lambda one: f"{one.rate:.2%}", lambda o: o.rate <= most, "rolled_back"
    )


def _detection(results: Results, name: str) -> Target:
    fault = FAULTS[name]
    places = [("fault", name, weight, OURS) for weight in DETECTED_AT]
    if fault.looks is not None:
        most = fault.looks
        needed = "at the first look" if most == 1 else f"at most {most} looks"
        return _judged(
            results,
            f"median looks to the rollback, {name}",
            needed,
            places,
            lambda one: "never" if one.looks is None else str(one.looks),
            lambda one: one.looks is not None and one.looks <= most,
        )
    largest = fault.ratio or 0.0
    return _judged(
        results,
        f"median looks over the bound, {name}",
        f"at most {largest:g}",
        places,
        lambda one: "never" if one.ratio is None else f"{one.ratio:.1f}",
        lambda one: one.ratio is not None and round(one.ratio, 1) <= largest,
    )


def _false_promotion(results: Results, name: str) -> Target:
    return _judged(
        results,
        f"false promotions, {name}, with and without history",
        "at most 5 %",
        [("margin", name, weight, judge) for judge in (OURS, OURS_NEW) for weight in WEIGHTS],
        lambda one: f"{share_of(one, 'promoted'):.1%}",
        lambda one: share_of(one, "promoted") <= MOST_WRONG,
        "promoted",
    )


def _promotion(results: Results, judge: str) -> Target:
    what = f"promoted within the hour, without fault, {judge}"
    return _everywhere(results, what, LEAST_PROMOTED, tuple(QUIET_RELEASES), judge, "promoted")


def _coverage(results: Results, of: str, judge: str) -> Target:
    names = tuple(name for name in QUIET_RELEASES if name != AUTOCORRELATED)
    what = f"interval of {of} right at every look, all noise but autocorrelated arms, {judge}"
    return _everywhere(results, what, LEAST_COVERED, names, judge, of)


def _everywhere(results: Results, what: str, least: float, names: Sequence[str], judge: str, of: str) -> Target:
    """A share that must be reached in every quiet cell; the worst is shown, and how many fall short."""
    places = [("quiet", name, weight, judge) for name in names for weight in WEIGHTS]
    shares = {place: share_of(one, of) for place in places if (one := results.found(*place)) is not None}
    short = tuple(place for place, share in shares.items() if share < least)
    figures = MISSING
    if shares:
        (_, name, weight, _), worst = min(shares.items(), key=lambda one: (one[1], one[0]))
        figures = f"lowest {worst:.1%} ({name}, {weight:.0%}); short in {len(short)} of {len(shares)} cells"
    reached = False if short else True if len(shares) == len(places) else None
    return Target(what, f"at least {least:.0%} in every cell", figures, reached, short, of)


def share_of(one: Found, of: str) -> float:
    """Part of the runs: promoted, rolled back, or with the interval of errors or p97 right at every look."""
    return int(one.figures[of] if of in one.figures else one.figures["covered"][of]) / one.runs


def _judged(
    results: Results,
    what: str,
    needed: str,
    places: Sequence[Place],
    shown: Callable[[Found], str],
    good: Callable[[Found], bool],
    share: str = "",
) -> Target:
    every = {place: results.found(*place) for place in places}
    figures = " / ".join(MISSING if one is None else shown(one) for one in every.values())
    short = tuple(place for place, one in every.items() if one is not None and not good(one))
    reached = False if short else None if None in every.values() else True
    return Target(what, needed, figures, reached, short, share)
