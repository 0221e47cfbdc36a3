"""The live page of ``watch`` on a terminal: headline, facts, steps, and each metric's interval against its margin."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from coalmine.cli import _words
from coalmine.harmless import harmless
from coalmine.records import Outcome, Phase, RolloutStatus

_VERDICT_STYLES = {"pass": "green", "fail": "bold red", "inconclusive": "yellow", "no_data": "magenta"}
_LOUD = {"held": "bold yellow", "gate": "bold yellow", "refused": "red", "reason": "bold"}
_HIDDEN = {"workflow", "history"}


@contextmanager
def live_page(link: str | None) -> Iterator[Callable[[RolloutStatus], None]]:
    """A page that redraws itself, so that what is left counts down between two looks."""
    latest: list[RolloutStatus] = []

    def drawn() -> RenderableType:
        return draw(latest[-1], datetime.now(UTC), link) if latest else Text("connecting …", style="dim")

    with Live(console=Console(), get_renderable=drawn, refresh_per_second=4, vertical_overflow="crop"):

        def show(status: RolloutStatus) -> None:
            latest[:] = [status]

        yield show


def draw(status: RolloutStatus, now: datetime, link: str | None) -> RenderableType:
    """The page at one moment."""
    parts: list[RenderableType] = [
        Text(harmless(_words.headline(status)), style=_headline_style(status)),
        _facts(status, now, link),
    ]
    if status.verdicts:
        parts.append(_verdicts(status))
    parts.append(Text("Ctrl-C detaches; the rollout goes on.", style="dim"))
    return Group(*parts)


def _headline_style(status: RolloutStatus) -> str:
    if status.outcome is Outcome.PROMOTED:
        return "bold green"
    if status.outcome is not None or status.phase is Phase.ROLLING_BACK:
        return "bold red"
    return "bold yellow" if status.phase is Phase.HELD or status.paused else "bold"


def _facts(status: RolloutStatus, now: datetime, link: str | None) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, fact in _words.facts(status, now, link).items():
        if fact and name not in _HIDDEN:
            grid.add_row(name, Text(harmless(fact), style=_LOUD.get(name, "")))
    return grid


def _verdicts(status: RolloutStatus) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("metric", "verdict", "less harm ┊ more harm", "canary/baseline", "margin"):
        table.add_column(title, no_wrap=True)
    table.add_column("", overflow="fold")
    for row, verdict in zip(_words.verdict_rows(status), status.verdicts, strict=True):
        style = _VERDICT_STYLES[verdict.verdict]
        table.add_row(
            row[0], Text(row[1], style=style), Text(row[2], style=style), *(Text(harmless(cell)) for cell in row[3:])
        )
    return table
