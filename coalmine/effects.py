"""How the effect of a verdict is written, in its own measure: a ratio, a difference, a burn rate."""

from __future__ import annotations

from coalmine.records import Measure, MetricVerdict


def effect_text(value: float, measure: Measure) -> str:
    """``×1.03`` for ratios and burn rates, ``+0.12`` for differences."""
    return f"{value:+.4g}" if measure == "difference" else f"×{value:.2f}"


def margin_text(verdict: MetricVerdict) -> str:
    """The margin as effects are written, shorter; empty when the metric has none."""
    if verdict.margin is None or (verdict.measure != "difference" and not verdict.margin):
        return ""
    return f"{verdict.margin:+.4g}" if verdict.measure == "difference" else f"×{verdict.margin:g}"


def interval_text(verdict: MetricVerdict, between: str = " … ") -> str:
    """Both ends of the interval; empty when there is none."""
    if verdict.interval is None:
        return ""
    return between.join(effect_text(end, verdict.measure) for end in verdict.interval)


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
