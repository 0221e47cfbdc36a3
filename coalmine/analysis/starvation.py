"""An arm without requests: chance at low traffic, or a canary nobody reaches?

A window without canary requests is plausible while few were due. The requests that were due add up over windows until
one comes; once seven are overdue, chance is ruled out (e^-7 is below one in a thousand).
"""

from __future__ import annotations

from coalmine.analysis.windows import MetricWindow

OVERDUE = 7.0
CANARY, BASELINE, NEITHER = "the canary gets no requests", "the baseline gets no requests", "no requests in either arm"


def silence(window: MetricWindow, due: float, share: float | None, seen: tuple[float, float]) -> tuple[str, float]:
    """Why a comparison has nothing to judge in this window.

    Args:
        window: with data.
        due: canary requests overdue from the windows before.
        share: the canary's configured share, 0-1; None = unknown.
        seen: canary and baseline requests so far.

    Returns:
        The reason, empty when the window is fine or its emptiness may be chance; requests overdue now.
    """
    canary, baseline = window.canary.total, window.baseline.total
    if canary and baseline:
        return "", 0.0
    if canary:
        return BASELINE, 0.0
    if not baseline:
        return NEITHER, due
    if share is not None and 0.0 < share < 1.0:
        odds = share / (1.0 - share)
    elif seen[0] and seen[1]:
        odds = seen[0] / seen[1]
    else:
        odds = 0.01
    due += baseline * odds
    return (CANARY if due >= OVERDUE else ""), due


def silence_alone(window: MetricWindow, due: float, looks: int, seen: float) -> tuple[str, float]:
    """The same when only the canary runs: what was due is its own average so far."""
    if window.canary.total:
        return "", 0.0
    if not looks or not seen:
        return CANARY, due
    due += seen / looks
    return (CANARY if due >= OVERDUE else ""), due
