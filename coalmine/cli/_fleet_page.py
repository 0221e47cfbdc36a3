"""Many rollouts on one page: a row each, what each waits for, and a line for every change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from coalmine.cli import _words
from coalmine.cli._output import plain
from coalmine.client import RolloutRow
from coalmine.harmless import harmless
from coalmine.records import Phase, RolloutStatus

if TYPE_CHECKING:
    from rich.console import RenderableType

HEAD = ("service", "environment", "version", "stands", "canary", "for", "waits for")
_STYLES = {
    "held": "bold yellow",
    "gated": "bold yellow",
    "rolling back": "bold red",
    "rolled back": "red",
    "rejected": "red",
    "failed": "bold red",
    "promoted": "green",
}


@dataclass(frozen=True)
class Seen:
    """One rollout as the page shows it."""

    service: str
    place: str
    version: str
    stands: str
    weight: float
    since: datetime | None
    """When it began; when it closed, once it has."""
    needs: str
    open: bool
    data: dict[str, Any]
    """For programs: a row of ``list``, or a whole status."""

    def line(self) -> str:
        """In one line."""
        head = f"{self.service} {self.version} in {self.place}: {self.stands} at {self.weight:g} %"
        return f"{head}; {self.needs}" if self.needs else head

    def same_as(self, other: Seen) -> bool:
        """Nothing that the page shows has changed."""
        return (self.stands, self.weight, self.version, self.needs) == (
            other.stands, other.weight, other.version, other.needs,
        )  # fmt: skip

    def cells(self, now: datetime) -> list[str]:
        """Its row."""
        ago = _words.span(now - self.since) if self.since else ""
        return [self.service, self.place, self.version, self.stands, f"{self.weight:g} %", ago, self.needs]


def of_row(row: RolloutRow, needs: str = "") -> Seen:
    """From search attributes."""
    return Seen(
        service=row.service,
        place=row.environment + (f"/{row.region}" if row.region else ""),
        version=row.version,
        stands=stands(row),
        weight=row.canary_weight,
        since=row.closed_at or row.started_at,
        needs=needs if row.open else "",
        open=row.open,
        data={**plain(row), "needs": needs},
    )


def of_status(status: RolloutStatus, needs: str = "") -> Seen:
    """From what the rollout itself says."""
    outcome = str(status.outcome or "").replace("_", " ")
    return Seen(
        service=status.service,
        place=status.environment + (f"/{status.region}" if status.region else ""),
        version=status.version,
        stands=outcome or status.phase.replace("_", " ") + (", paused" if status.paused else ""),
        weight=status.canary_weight,
        since=status.closed_at or status.started_at,
        needs=needs or what_is_missing(status),
        open=status.phase is not Phase.CLOSED,
        data=plain(status),
    )


def stands(row: RolloutRow) -> str:
    """Phase or outcome in words."""
    if row.paused_in_temporal:
        return f"paused in Temporal ({(row.outcome or row.phase).replace('_', ' ')})"
    return (row.outcome or row.phase).replace("_", " ") + (" (window)" if row.open and row.outcome else "")


def what_is_missing(status: RolloutStatus) -> str:
    """Why a rollout stands still, in a few words; nothing when it goes on by itself."""
    if status.outcome is not None or status.phase is Phase.CLOSED:
        return status.reason
    if status.phase is Phase.HELD:
        return f"held: {status.held_reason}" if status.held_reason else "held for a human"
    if gate := _words.gate(status):
        return f"gate {gate}"
    return status.reason if status.phase is Phase.ROLLING_BACK else ""


def heading(seen: Iterable[Seen]) -> str:
    """How many there are, and how many wait for somebody."""
    rows = [one for one in seen if one.open]
    waiting = sum(one.stands.split(",")[0] in ("held", "gated") for one in rows)
    return f"{len(rows)} open, {waiting} waiting for somebody"


def drawn(rows: Sequence[Seen], note: str, now: datetime) -> RenderableType:
    """The page at one moment."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in HEAD:
        # Where it is narrow the last column gives way, cut and not folded: a row each; status tells all of it.
        table.add_column(title, no_wrap=title != HEAD[-1], justify="right" if title == "canary" else "left")
    for row in rows:
        style = _STYLES.get(row.stands.split(",")[0].removesuffix(" (window)"), "")
        cells = [Text(harmless(cell)) for cell in row.cells(now)]
        cells[3].stylize(style)
        cells[-1].no_wrap, cells[-1].overflow = True, "ellipsis"
        if not row.open:
            for cell in cells:
                cell.stylize("dim")
        table.add_row(*cells)
    head = Text(f"{now:%H:%M:%S}Z  {heading(rows)}", style="bold")
    last = Text(harmless(note) or "Ctrl-C detaches; the rollouts go on.", style="yellow" if note else "dim")
    return Group(head, table if rows else Text("no rollouts", style="dim"), last)


@contextmanager
def live_fleet() -> Iterator[Callable[[Sequence[Seen], str], None]]:
    """A page that redraws itself; call what is yielded with the rows, and a note for people."""
    from rich.console import Console
    from rich.live import Live

    latest: list[tuple[Sequence[Seen], str]] = [((), "connecting …")]

    def page() -> RenderableType:
        return drawn(*latest[0], datetime.now(UTC))

    with Live(console=Console(), get_renderable=page, refresh_per_second=4, vertical_overflow="crop"):

        def show(rows: Sequence[Seen], note: str) -> None:
            latest[0] = (rows, note)

        yield show
