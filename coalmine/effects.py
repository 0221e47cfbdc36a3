"""How the effect of a verdict is written, in its own measure: a ratio, a difference, a burn rate; and levels."""

from __future__ import annotations

from math import isfinite
from typing import Any

from coalmine.records import Measure, MetricVerdict

LEAST_RATIO, LARGEST_RATIO = 1.0 / 30.0, 400.0
"""Ratios are looked for between these (``coalmine.analysis.grids``): an interval that reaches one has no end there."""
_ROUNDED = 6e-5
OPEN = "open"
"""What is written for an end that an interval does not have."""


def effect_text(value: float, measure: Measure) -> str:
    """``×1.03`` for ratios and burn rates, ``+0.12`` for differences."""
    return f"{value:+.4g}" if measure == "difference" else f"×{value:.2f}"


def margin_text(verdict: MetricVerdict) -> str:
    """The margin as effects are written, shorter; empty when the metric has none."""
    if verdict.margin is None or (verdict.measure != "difference" and not verdict.margin):
        return ""
    return f"{verdict.margin:+.4g}" if verdict.measure == "difference" else f"×{verdict.margin:g}"


def interval_text(verdict: MetricVerdict, between: str = " … ") -> str:
    """Both ends of the interval, ``open`` for one that it does not have; empty when there is no interval."""
    if verdict.interval is None:
        return ""
    low, high = verdict.interval
    least, largest = LEAST_RATIO, LARGEST_RATIO
    if verdict.measure == "rate ratio" and verdict.worse == "down":
        least, largest = 1.0 / largest, 1.0 / least
    compares = verdict.measure in ("odds ratio", "rate ratio")
    ends = (compares and is_least(low, least), compares and is_largest(high, largest))
    return between.join(
        OPEN if open_ else effect_text(end, verdict.measure) for open_, end in zip(ends, (low, high), strict=True)
    )


def is_least(low: float, least: float = LEAST_RATIO) -> bool:
    """A lower end, rounded as verdicts are, is where ratios are looked for no further."""
    return low <= least + _ROUNDED


def is_largest(high: float, largest: float = LARGEST_RATIO) -> bool:
    """The same of an upper end."""
    return high >= largest - _ROUNDED


def leans_to_harm(verdict: MetricVerdict) -> str:
    """The end of an interval that lies wholly beyond the margin, and the margin; empty when it does not.

    ``at least x1.31, margin x1.1`` where more is worse, ``at most -0.2, margin -0.05`` where less is.
    """
    if verdict.interval is None or verdict.margin is None:
        return ""
    low, high = verdict.interval
    nearest, side = (low, "at least") if verdict.worse == "up" else (high, "at most")
    beyond = nearest > verdict.margin if verdict.worse == "up" else nearest < verdict.margin
    if not beyond:
        return ""
    shown = effect_text(nearest, verdict.measure).replace("×", "x")
    return f"{side} {shown}, margin {margin_text(verdict).replace('×', 'x')}"


def effect_record(verdict: MetricVerdict) -> dict[str, Any]:
    """One metric at one look as the ledger keeps it: a page draws thousands of them, so five digits must do."""
    low, high = verdict.interval or (None, None)
    numbers = {
        "effect": verdict.effect,
        "low": low,
        "high": high,
        "margin": verdict.margin,
        "baseline": verdict.baseline,
        "canary": verdict.canary,
    }
    kept = {name: float(f"{value:.5g}") for name, value in numbers.items() if value is not None and isfinite(value)}
    return {"metric": verdict.metric, "verdict": verdict.verdict, **kept}


def percent(share: float | None) -> str:
    """``0.48 %``."""
    if share is None:
        return "–"
    value = 100 * share
    return f"{value:.1f} %" if abs(value) >= 10 else f"{value:.3g} %"


def level(value: float | None, kind: str) -> str:
    """A metric's level in its own unit: a share for ``ratio`` and ``slo``, a time for ``latency``, else the number."""
    if value is None:
        return "–"
    if kind in ("ratio", "slo"):
        return percent(value)
    if kind == "latency":
        return f"{1000 * value:.3g} ms" if value < 1 else f"{value:.3g} s"
    return f"{value:.4g}"
