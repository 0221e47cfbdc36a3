"""Plots as inline SVG: effect and interval against the margin, and the canary's weight, over the time of the looks.

What colour says is also said by shape or text; every plot has a title and a description, and stands beside its table.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from coalmine.report.axes import Axis, axis_of
from coalmine.report.markup import escaped
from coalmine.report.story import LookStory, Point, WeightStory

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 760.0, 58.0, 16.0, 14.0, 30.0
_MARKS = {
    "advance": ("▲", "advanced"),
    "promote": ("★", "promoted"),
    "hold": ("◆", "held"),
    "roll_back": ("■", "rolled back"),
}
_SPACINGS = (1, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400, 7 * 86400)


@dataclass(frozen=True)
class Scale:
    """From moments and values to places in the picture; shared by all plots of a page, so that they line up."""

    start: datetime
    end: datetime
    height: float

    def x(self, at: datetime) -> float:
        """Left to right."""
        whole = max((self.end - self.start).total_seconds(), 1e-9)
        share = (at - self.start).total_seconds() / whole
        return round(LEFT + min(max(share, 0.0), 1.0) * (WIDTH - LEFT - RIGHT), 1)

    def y(self, share: float) -> float:
        """0 is the bottom, 1 the top; what is beyond stays at the edge."""
        return round(TOP + (1 - min(max(share, 0.0), 1.0)) * (self.height - TOP - BOTTOM), 1)

    def hours(self) -> Iterator[tuple[float, str]]:
        """Ticks of the time axis with their labels."""
        whole = (self.end - self.start).total_seconds()
        spacing = next((step for step in _SPACINGS if whole / step <= 8), math.ceil(whole / 8 / 86400) * 86400)
        midnight = self.start.replace(hour=0, minute=0, second=0, microsecond=0)
        passed = (self.start - midnight).total_seconds()
        at = midnight + timedelta(seconds=math.ceil(passed / spacing) * spacing)
        form = (
            "%m-%d" if spacing >= 86400 else "%d. %H:%M" if whole > 86400 else "%H:%M:%S" if spacing < 60 else "%H:%M"
        )
        while at <= self.end:
            yield self.x(at), at.strftime(form)
            at += timedelta(seconds=spacing)


def effect_plot(
    name: str, kind: str, identity: str, points: Sequence[Point], looks: Sequence[LookStory], scale: Scale
) -> str:
    """Effect (line), interval (band) and margin (dashed) of one metric; a gap where it was not known.

    Args:
        name: The metric.
        kind: Its kind, which says what an effect is.
        identity: Prefix of the picture's ids, unique on the page.
        points: In order of looks, thinned already.
        looks: Those that decided something: marked on the upper edge.
        scale: Shared time axis.
    """
    axis = axis_of(points, kind)

    def y(value: float) -> float:
        return scale.y(axis.share(value))

    parts = [_axes(scale, [(y(tick), axis.text(tick)) for tick in axis.ticks()])]
    for run in _runs(points):
        upper = [f"{scale.x(p.at)},{y(p.high) if p.high is not None else scale.y(1)}" for p in run]
        lower = [f"{scale.x(p.at)},{y(p.low) if p.low is not None else scale.y(0)}" for p in reversed(run)]
        line = " ".join(f"{scale.x(p.at)},{y(p.effect)}" for p in run if p.effect is not None)
        if len(run) == 1:
            x = scale.x(run[0].at)
            parts.append(f'<path class="band-line" d="M{upper[0]}L{lower[0]}"/><circle class="dot" cx="{x}"')
            parts.append(f' cy="{line.partition(",")[2]}" r="3"/>')
        else:
            parts.append(f'<polygon class="band" points="{" ".join([*upper, *lower])}"/>')
            parts.append(f'<polyline class="effect" points="{line}"/>')
    parts.append(f'<path class="same" d="M{LEFT},{y(axis.same)}H{WIDTH - RIGHT}"/>')
    parts += [_margin(run, scale, y(margin), axis.text(margin)) for margin, run in _margins(points, axis)]
    parts += [_mark(look, scale) for look in looks if look.action in _MARKS]
    title = f"{name}: effect of the canary against the margin"
    return _svg(identity, title, _effect_words(name, points, axis), parts, scale.height)


def weight_plot(identity: str, weights: Sequence[WeightStory], scale: Scale) -> str:
    """The canary's share of traffic as stairs."""
    parts = [_axes(scale, [(scale.y(share / 100), f"{share} %") for share in (0, 25, 50, 75, 100)])]
    path = f"M{LEFT},{scale.y(0)}"
    for shift in weights:
        path += f"H{scale.x(shift.at)}V{scale.y(shift.weight / 100)}"
    parts.append(f'<path class="weight" d="{path}H{WIDTH - RIGHT}"/>')
    shown = ", ".join(f"{shift.weight:g} %" for shift in weights[:40]) or "none"
    words = f"Weights in order: {shown}{' and more' if len(weights) > 40 else ''}."
    return _svg(identity, "The canary's share of traffic over time", words, parts, scale.height)


def _effect_words(name: str, points: Sequence[Point], axis: Axis) -> str:
    known = [(point, point.effect) for point in points if point.effect is not None]
    if not known:
        return f"{name} was never compared."
    last, found = known[-1]
    low = axis.text(last.low) if last.low is not None else "an open end"
    high = axis.text(last.high) if last.high is not None else "an open end"
    margin = f", margin {axis.text(last.margin)}" if last.margin is not None else ""
    return f"At the last compared look, look {last.look}: effect {axis.text(found)}, between {low} and {high}{margin}."


def _runs(points: Sequence[Point]) -> Iterator[list[Point]]:
    run: list[Point] = []
    for point in points:
        if point.effect is None:
            if run:
                yield run
            run = []
        else:
            run.append(point)
    if run:
        yield run


def _margins(points: Sequence[Point], axis: Axis) -> Iterator[tuple[float, list[Point]]]:
    """Stretches under one margin: it is wider where the noise is found to be correlated."""
    run: list[Point] = []
    for point in points:
        if run and point.margin != run[-1].margin:
            yield from _drawn(run, axis)
            run = []
        run.append(point)
    yield from _drawn(run, axis)


def _drawn(run: list[Point], axis: Axis) -> Iterator[tuple[float, list[Point]]]:
    margin = run[-1].margin if run else None
    if margin is not None and axis.draws(margin):
        yield margin, run


def _margin(run: Sequence[Point], scale: Scale, y: float, margin: str) -> str:
    start, end = scale.x(run[0].at), scale.x(run[-1].at)
    start, end = (start, end) if end - start > 4 else (max(start - 6, LEFT), min(end + 6, WIDTH - RIGHT))
    label = f'<text class="margin-label" x="{end}" y="{y - 3}" text-anchor="end">margin {margin}</text>'
    return f'<path class="margin" d="M{start},{y}H{end}"/>{label}'


def _mark(look: LookStory, scale: Scale) -> str:
    sign, said = _MARKS[look.action]
    tip = f"look {look.look}: {said}"
    return (
        f'<g class="mark {look.action.replace("_", "-")}"><title>{escaped(tip)}</title>'
        f'<path d="M{scale.x(look.at)},{TOP}V{scale.height - BOTTOM}"/>'
        f'<text x="{scale.x(look.at)}" y="{TOP - 2}" text-anchor="middle">{sign}</text></g>'
    )


def _axes(scale: Scale, rows: Sequence[tuple[float, str]]) -> str:
    right, foot = WIDTH - RIGHT, scale.height - BOTTOM
    parts = [f'<path class="grid" d="{"".join(f"M{LEFT},{y}H{right}" for y, _ in rows)}"/>']
    parts += [f'<text class="tick" x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{text}</text>' for y, text in rows]
    parts += [
        f'<text class="tick" x="{x}" y="{foot + 18}" text-anchor="middle">{text}</text>' for x, text in scale.hours()
    ]
    parts.append(f'<path class="axis" d="M{LEFT},{TOP}V{foot}H{right}"/>')
    return "".join(parts)


def _svg(identity: str, title: str, words: str, parts: Sequence[str], height: float) -> str:
    return (
        f'<svg role="img" viewBox="0 0 {WIDTH:g} {height:g}" aria-labelledby="{identity}-title {identity}-desc">'
        f'<title id="{identity}-title">{escaped(title)}</title><desc id="{identity}-desc">{escaped(words)}</desc>'
        f"{''.join(parts)}</svg>"
    )
