"""Whether a window is over for good: stores of single events take them in a while after they happened."""

from __future__ import annotations

from datetime import UTC, datetime

from coalmine.records import Window
from coalmine.spec.durations import format_duration
from coalmine.spec.sources import Source


def unsettled(source: Source, window: Window) -> str:
    """Why nothing can be counted yet; empty once the window and the source's flush are over."""
    settled = window.end + source.flush
    if settled <= datetime.now(UTC):
        return ""
    return f"partial: the window and the {format_duration(source.flush)} of flush end at {settled:%H:%M:%S} UTC"
