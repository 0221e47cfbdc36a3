"""Numbers and moments as the page writes them."""

from __future__ import annotations

from datetime import datetime, timedelta

from coalmine.effects import OPEN, is_largest, is_least
from coalmine.effects import level as level
from coalmine.effects import percent as percent
from coalmine.spec.durations import format_duration


def times(ratio: float | None) -> str:
    """``×1.25``; ``–`` when it is not known."""
    if ratio is None:
        return "–"
    if ratio >= 10:
        return f"×{ratio:,.0f}" if ratio >= 100 else f"×{ratio:.1f}"
    return f"×{ratio:.2f}" if ratio >= 0.1 else f"×{ratio:.2g}"


def effect(value: float | None, kind: str) -> str:
    """``+0.12`` for gauges, whose effect is a difference; else ``×1.25``."""
    return times(value) if kind != "value" or value is None else f"{value:+.4g}"


def interval(low: float | None, high: float | None, kind: str = "ratio") -> str:
    """``×0.80 … ×1.30``; an open end is said."""
    if low is None and high is None:
        return "–"
    compares = kind in ("ratio", "latency")
    lower = OPEN if low is None or (compares and is_least(low)) else effect(low, kind)
    upper = OPEN if high is None or (compares and is_largest(high)) else effect(high, kind)
    return f"{lower} … {upper}"


def chance(p: float | None) -> str:
    """``0.034``, ``< 0.0001``."""
    if p is None:
        return "–"
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}"


def moment(at: datetime | None) -> str:
    """``2026-03-01 12:00:00 UTC``."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at is not None else "–"


def span(length: timedelta) -> str:
    """``4m10s``, to the second."""
    return format_duration(timedelta(seconds=max(round(length.total_seconds()), 0)))


def plain(name: str) -> str:
    """``roll_back`` as ``roll back``."""
    return name.replace("_", " ")
