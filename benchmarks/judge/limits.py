"""Exact limits of a share (Clopper and Pearson 1934)."""

from __future__ import annotations

from scipy.stats import beta


def limits(events: int, runs: int, level: float = 0.95) -> tuple[float, float]:
    """Both ends of the two-sided interval at this level, as shares."""
    spare = (1.0 - level) / 2.0
    low = float(beta.ppf(spare, events, runs - events + 1)) if events else 0.0
    return low, upper(events, runs, 1.0 - spare)


def upper(events: int, runs: int, level: float = 0.95) -> float:
    """Upper end of the one-sided interval at this level, as a share."""
    return float(beta.ppf(level, events + 1, runs - events)) if events < runs else 1.0
