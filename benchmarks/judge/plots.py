"""The plots of docs/benchmark.md, as plain SVG."""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape

from benchmarks.judge.cells import WEIGHTS
from benchmarks.judge.limits import limits
from benchmarks.judge.quiet_releases import DEVELOPED_ON
from benchmarks.judge.results import Results
from benchmarks.judge.tables import AIM, JUDGES
from benchmarks.judge.unseen_releases import UNSEEN

WIDTH = 760
LEFT, RIGHT = 190, 30
TOP, ROW = 64, 30
INK, FAINT, OURS_INK, SECOND = "#1f2933", "#cbd2d9", "#0b7a75", "#d1495b"
LEAST = 0.0005
"""Shares below this are drawn at the left edge."""
FAULT, AT = "errors 0.5 -> 1 %", 0.1


def false_rollbacks(found: Results) -> str:
    """Share of releases without fault each judge rolls back, with exact limits; all weights pooled."""
    height = TOP + ROW * len(JUDGES) + 44
    parts = [
        *_heading(
            "Releases without fault that are rolled back",
            "all weights, exact 95 % limits; log scale, none at the left edge",
        )
    ]
    bottom = TOP + ROW * len(JUDGES)
    for share in (0.001, 0.01, 0.1, 1.0):
        colour = OURS_INK if share == AIM else FAINT
        parts += [
            _line(_x(share), TOP - 8, _x(share), bottom, colour),
            _text(_x(share), bottom + 18, f"{100 * share:g} %", "middle"),
        ]
    for row, judge in enumerate(JUDGES):
        y = TOP + ROW * row + ROW / 2
        parts.append(_text(LEFT - 12, y + 4, judge, "end", bold=row < 2))
        for group, colour, lift in ((DEVELOPED_ON, OURS_INK, -5), (UNSEEN, SECOND, 5)):
            events, runs = found.pooled("quiet", group, WEIGHTS, judge)
            if runs:
                low, high = limits(events, runs)
                parts.append(_line(_x(low), y + lift, _x(high), y + lift, colour))
                parts.append(_dot(_x(events / runs), y + lift, colour))
    for x, name, colour in ((LEFT, "noise developed on", OURS_INK), (LEFT + 170, "noise added later", SECOND)):
        parts += [_dot(x, height - 12, colour), _text(x + 10, height - 8, name, "start")]
    return _svg(height, parts)


def requests(found: Results) -> str:
    """One fault: canary requests until the rollback against false rollbacks, a point a judge."""
    height, top, bottom = 460, TOP, 400
    quiet = tuple(DEVELOPED_ON)
    points = []
    for judge in JUDGES:
        one = found.found("fault", FAULT, AT, judge)
        events, runs = found.pooled("quiet", quiet, (AT,), judge)
        if one is not None and runs and one.figures["median_requests"] is not None:
            points.append((judge, events / runs, int(one.figures["median_requests"])))
    parts = [
        *_heading(
            f"Canary requests until the rollback, {FAULT} at {AT:.0%}",
            "median, against releases without fault rolled back at that weight; log scales, none at the left edge",
        )
    ]
    if not points:
        return _svg(height, [*parts, _text(WIDTH / 2, 200, "not measured yet", "middle")])
    lowest, highest = 0.8 * min(p[2] for p in points), 1.25 * max(p[2] for p in points)

    def y_of(number: float) -> float:
        return bottom - (bottom - top) * math.log(number / lowest) / math.log(highest / lowest)

    for share in (0.001, 0.01, 0.1, 1.0):
        colour = OURS_INK if share == AIM else FAINT
        parts += [
            _line(_x(share), top, _x(share), bottom, colour),
            _text(_x(share), bottom + 18, f"{100 * share:g} %", "middle"),
        ]
    for tick in (500, 1000, 2000, 5000, 10_000, 20_000):
        if lowest < tick < highest:
            parts += [
                _line(LEFT, y_of(tick), WIDTH - RIGHT, y_of(tick), FAINT),
                _text(LEFT - 12, y_of(tick) + 4, f"{tick:,} requests", "end"),
            ]
    placed: list[float] = []
    for judge, share, number in sorted(points, key=lambda point: -point[2]):
        x, y = _x(share), y_of(number)
        label = max([y + 4, *(other + 14 for other in placed[-1:])])
        placed.append(label)
        colour = OURS_INK if judge in JUDGES[:2] else SECOND
        left = x > WIDTH - 220
        parts.append(_dot(x, y, colour))
        parts.append(
            _text(x + (-10 if left else 10), label, judge, "end" if left else "start", bold=colour == OURS_INK)
        )
    return _svg(height, parts)


def _x(share: float) -> float:
    span = math.log(1.0 / LEAST)
    return LEFT + (WIDTH - LEFT - RIGHT) * math.log(max(share, LEAST) / LEAST) / span


def _heading(title: str, under: str) -> Iterable[str]:
    yield f'<text x="16" y="24" font-size="16" font-weight="600">{escape(title)}</text>'
    yield f'<text x="16" y="43" fill="#52606d">{escape(under)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="1.5"/>'


def _dot(x: float, y: float, colour: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str, *, bold: bool = False) -> str:
    weight = ' font-weight="600"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{weight}>{escape(text)}</text>'


def _svg(height: float, parts: Iterable[str]) -> str:
    style = 'font-family="system-ui, sans-serif" font-size="12"'
    frame = f'<rect width="{WIDTH}" height="{height:g}" fill="#ffffff"/>'
    box = f'viewBox="0 0 {WIDTH} {height:g}" width="{WIDTH}" height="{height:g}"'
    body = "\n".join(parts)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box} {style} fill="{INK}">\n{frame}\n{body}\n</svg>\n'
