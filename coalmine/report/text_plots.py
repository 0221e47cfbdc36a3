"""Plots of characters: effect and interval against the margin, and the canary's weight, over the time of the looks.

Every row is as wide as it was asked for; ASCII where nothing else can be shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from coalmine.report.axes import axis_of
from coalmine.report.story import LookStory, Point, WeightStory

ROWS = 11
"""Of an effect's plot: odd, so that no effect has a row of its own."""
LABEL = 9
"""Characters left of a plot."""
NARROWEST = 40


@dataclass(frozen=True)
class Glyphs:
    """What plots are drawn with."""

    effect: str
    band: str
    margin: str
    same: str
    crossing: str
    """An interval that reaches over the margin."""
    marks: dict[str, str]
    levels: str
    """From empty to full."""


UNICODE = Glyphs("●", "│", "┄", "·", "┼", {"advance": "▲", "promote": "★", "hold": "◆", "roll_back": "■"}, " ▁▂▃▄▅▆▇█")
ASCII = Glyphs("o", "|", "-", ".", "+", {"advance": "^", "promote": "*", "hold": "?", "roll_back": "X"}, " #")


@dataclass(frozen=True)
class Times:
    """From moments to columns; shared by all plots of a page, so that they line up."""

    start: datetime
    end: datetime
    width: int

    def column(self, at: datetime) -> int:
        """Left to right; what is beyond stays at the edge."""
        whole = max((self.end - self.start).total_seconds(), 1e-9)
        share = (at - self.start).total_seconds() / whole
        return round(min(max(share, 0.0), 1.0) * (self.width - 1))

    def axis(self) -> str:
        """The first and the last moment, and the middle where there is room."""
        form = "%H:%M:%S" if (self.end - self.start).total_seconds() < 86400 else "%m-%d %H:%M"
        line = [" "] * self.width
        middle = self.start + (self.end - self.start) / 2
        for at, place in ((self.start, 0), (middle, self.width // 2 - 4), (self.end, self.width)):
            text = at.strftime(form)
            begin = min(place, self.width - len(text))
            line[begin : begin + len(text)] = text
        return " " * LABEL + "  " + "".join(line)


def effect_lines(
    kind: str, points: Sequence[Point], looks: Sequence[LookStory], times: Times, glyphs: Glyphs
) -> list[str]:
    """Effect and interval of one metric against the margin; a column shows the last look that falls into it.

    Args:
        kind: The metric's, which says what an effect is.
        points: In order of looks.
        looks: Those that decided something are marked above.
        times: Shared columns.
        glyphs: What to draw with.
    """
    axis = axis_of(points, kind)

    def row(value: float) -> int:
        return round((1 - min(max(axis.share(value), 0.0), 1.0)) * (ROWS - 1))

    grid = [[" "] * times.width for _ in range(ROWS)]
    grid[row(axis.same)] = [glyphs.same] * times.width
    for point, after in zip(points, [*points[1:], None], strict=True):
        if axis.draws(point.margin) and point.margin is not None:
            # A margin holds until the next look, which may have found the noise to be correlated.
            begin = times.column(point.at)
            end = times.width if after is None else max(times.column(after.at), begin + 1)
            grid[row(point.margin)][begin:end] = [glyphs.margin] * (end - begin)
    for column, point in {times.column(point.at): point for point in points}.items():
        if point.effect is None:
            continue
        top = row(point.high) if point.high is not None else 0
        bottom = row(point.low) if point.low is not None else ROWS - 1
        for at in range(top, bottom + 1):
            if grid[at][column] in (" ", glyphs.same):
                grid[at][column] = glyphs.band
            elif grid[at][column] == glyphs.margin:
                grid[at][column] = glyphs.crossing
        grid[row(point.effect)][column] = glyphs.effect
    labels = {row(tick): axis.text(tick) for tick in axis.ticks()}
    marks = [" "] * times.width
    for look in looks:
        if look.action in glyphs.marks:
            marks[times.column(look.at)] = glyphs.marks[look.action]
    lines = [_line(labels.get(at, ""), cells) for at, cells in enumerate(grid)]
    return [*([_line("", marks)] if "".join(marks).strip() else []), *lines, times.axis()]


def weight_lines(weights: Sequence[WeightStory], times: Times, glyphs: Glyphs) -> list[str]:
    """The canary's share of traffic as a field of 4 rows, each a quarter."""
    rows = 4
    shares = [0.0] * times.width
    for shift in weights:
        column = times.column(shift.at)
        shares[column:] = [shift.weight / 100] * (times.width - column)
    full = len(glyphs.levels) - 1
    lines = []
    for row in range(rows):
        above = 1 - (row + 1) / rows
        parts = [min(max((share - above) * rows, 0.0), 1.0) for share in shares]
        # A little traffic is not none.
        cells = [glyphs.levels[max(round(part * full), 1 if part > 0 else 0)] for part in parts]
        lines.append(_line({0: "100 %", 2: "50 %"}.get(row, ""), cells))
    return [*lines, times.axis()]


def _line(label: str, cells: Sequence[str]) -> str:
    return f"{label:>{LABEL}}  {''.join(cells)}".rstrip()
