"""An interval against its margin, drawn with characters on a logarithmic scale."""

from __future__ import annotations

import math

WIDTH = 29
_WIDEST = 8.0
"""The scale reaches at most from 1/8 to 8 times the baseline; what lies beyond is shown by an arrow."""


def interval_bar(effect: float | None, interval: tuple[float, float] | None, margin: float | None) -> str:
    """``├──●──┤`` on a track with ``┊`` at ×1 (the same as the baseline) and ``┃`` at the margin.

    All three are ratios, canary over baseline; harm is to the right of the margin. Empty without an interval.
    """
    if interval is None:
        return ""
    low, high = (max(end, 1e-9) for end in interval)
    reach = min(max(2.0, (margin or 1.0) ** 2, high * 1.05, 1.05 / low), _WIDEST)

    def at(ratio: float) -> int:
        share = (math.log(ratio) / math.log(reach) + 1) / 2
        return round(min(max(share, 0.0), 1.0) * (WIDTH - 1))

    track = [" "] * WIDTH
    for place in range(at(low), at(high) + 1):
        track[place] = "─"
    track[at(low)] = "├" if low >= 1 / reach else "◀"
    track[at(high)] = "┤" if high <= reach else "▶"
    track[at(1.0)] = "┊" if track[at(1.0)] == " " else "┼"
    if margin is not None:
        track[at(margin)] = "┃"
    if effect is not None and effect > 0:
        track[at(effect)] = "●"
    return "".join(track)
