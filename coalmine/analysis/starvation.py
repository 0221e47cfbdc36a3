"""An arm without requests: chance at low traffic, or a canary nobody reaches?

A window without requests is plausible while few were due. The requests that were due add up over windows until one
comes; once seven are overdue, chance is ruled out (e^-7 is below one in a thousand).
"""

from __future__ import annotations

from coalmine.analysis.windows import MetricWindow

OVERDUE = 7.0
CANARY, BASELINE, NEITHER = "the canary gets no requests", "the baseline gets no requests", "no requests in either arm"
_SMALLEST_SHARE = 0.01

Due = tuple[float, float]
"""Requests overdue: the canary's, the baseline's."""


def silence(window: MetricWindow, due: Due, share: float | None, looks: int, seen: Due) -> tuple[str, Due]:
    """Why a comparison has nothing to judge in this window.

    Args:
        window: with data.
        due: requests overdue from the windows before.
        share: the canary's configured share, 0-1; None = unknown.
        looks: how many there were before.
        seen: canary and baseline requests so far.

    Returns:
        The reason, empty when the window is fine or its emptiness may be chance; requests overdue now.
    """
    canary, baseline = window.canary.total, window.baseline.total
    if canary and baseline:
        return "", (0.0, 0.0)
    if not canary and not baseline and not (looks and any(seen)):
        return NEITHER, due
    odds = _odds(share, seen)
    average = tuple(count / max(looks, 1) for count in seen)
    overdue_c = 0.0 if canary else due[0] + (baseline * odds if baseline else average[0])
    overdue_b = 0.0 if baseline else due[1] + (canary / odds if canary else average[1])
    reasons = {(True, True): NEITHER, (True, False): CANARY, (False, True): BASELINE, (False, False): ""}
    return reasons[overdue_c >= OVERDUE, overdue_b >= OVERDUE], (overdue_c, overdue_b)


def _odds(share: float | None, seen: Due) -> float:
    """Canary requests per baseline request: as configured, else as seen, else the least one would configure."""
    if share is not None and 0.0 < share < 1.0:
        return share / (1.0 - share)
    return seen[0] / seen[1] if seen[0] and seen[1] else _SMALLEST_SHARE


def silence_alone(window: MetricWindow, due: float, looks: int, seen: float) -> tuple[str, float]:
    """The same when only the canary runs: what was due is its own average so far."""
    if window.canary.total:
        return "", 0.0
    if not looks or not seen:
        return CANARY, due
    due += seen / looks
    return (CANARY if due >= OVERDUE else ""), due
