"""What is known of a fleet from answers that each tell a part of it, in whatever order they come.

An answer counts from when it was asked: an older one never overwrites what a newer one said, also where the newer one
said that a rollout is gone. Moments of questions are seconds of one clock of ours, never compared with the server's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from coalmine.searching import RolloutRow

BEGINNING = datetime.min.replace(tzinfo=UTC)
MOST_CLOSED = 500
"""Closed rollouts in the list: the latest."""


@dataclass(frozen=True)
class Span:
    """Nothing else was there after a moment: what a list of the latest rows says beside the rows."""

    asked: float
    after: datetime = BEGINNING
    """``BEGINNING``: there was nothing else at all."""

    def covers(self, asked: float, row: RolloutRow) -> bool:
        """Whether a row of an answer is gone, since it is in no row of this later one."""
        return asked < self.asked and (self.after == BEGINNING or _moment(row) > self.after)


@dataclass(frozen=True)
class Answer:
    """Rows as they were when it was asked."""

    asked: float
    rows: Sequence[RolloutRow]
    about: frozenset[str] = frozenset()
    """Keys that were asked for: those that are in no row are gone."""
    after: datetime | None = None
    """Everything after this moment is in the rows; None: only what was asked for."""


def whole(asked: float, rows: Sequence[RolloutRow]) -> Answer:
    """The answer to a question for everything that has room in the list."""
    return Answer(asked, rows, after=BEGINNING)


def latest(asked: float, rows: Sequence[RolloutRow], limit: int) -> Answer:
    """The answer to a question for so many of the latest rows: fewer are all there are."""
    return Answer(asked, rows, after=min(map(_moment, rows))) if len(rows) >= limit else whole(asked, rows)


@dataclass(frozen=True)
class Known:
    """One kind of rows by key: the latest that was said of each, and the spans outside of which nothing is known."""

    said: Mapping[str, tuple[float, RolloutRow | None]] = field(default_factory=dict)
    """When it was asked, and the row; None: gone."""
    spans: tuple[Span, ...] = ()

    def rows(self) -> Iterator[RolloutRow]:
        """Those that are there."""
        for asked, row in self.said.values():
            if row is not None and not any(span.covers(asked, row) for span in self.spans):
                yield row

    def asked(self, key: str) -> float:
        """When something was last heard of it."""
        return self.said[key][0] if key in self.said else float("-inf")

    def merged(self, answer: Answer, key: str) -> Known:
        """With an answer more; ``key`` names the field of a row that tells rows apart."""
        said = dict(self.said)
        for row in answer.rows:
            _put(said, getattr(row, key), answer.asked, row)
        for gone in answer.about - {getattr(row, key) for row in answer.rows}:
            _put(said, gone, answer.asked, None)
        spans = _widest((*self.spans, Span(answer.asked, answer.after)) if answer.after is not None else self.spans)
        # What is older than a list of everything is in that list, or gone for good.
        since = max((span.asked for span in spans if span.after == BEGINNING), default=float("-inf"))
        return Known({name: one for name, one in said.items() if one[0] >= since}, spans)


@dataclass(frozen=True)
class FleetList:
    """Open rollouts by workflow, of which one run is open at most, and closed ones by run."""

    open: Known = field(default_factory=Known)
    closed: Known = field(default_factory=Known)

    def with_open(self, answer: Answer) -> FleetList:
        """With an answer about open ones."""
        return FleetList(self.open.merged(answer, "workflow_id"), self.closed)

    def with_closed(self, answer: Answer) -> FleetList:
        """With an answer about closed ones."""
        return FleetList(self.open, self.closed.merged(answer, "run_id"))

    def rows(self) -> tuple[tuple[RolloutRow, ...], tuple[RolloutRow, ...]]:
        """Open ones and closed ones, the latest first. What is closed stays so, whatever a list of open ones says."""
        closed = _latest_first(self.closed.rows())
        over = {run for run, (_, row) in self.closed.said.items() if row is not None}
        return _latest_first(row for row in self.open.rows() if row.run_id not in over), closed[:MOST_CLOSED]


def _put(said: dict[str, tuple[float, RolloutRow | None]], key: str, asked: float, row: RolloutRow | None) -> None:
    before, known = said.get(key, (float("-inf"), None))
    if before <= asked:
        # The same object again where nothing changed: lists of them compare quickly.
        said[key] = asked, known if known == row else row


def _widest(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Without those that a later one goes beyond."""
    kept: list[Span] = []
    for span in sorted(spans, key=lambda one: -one.asked):
        if not kept or span.after < kept[-1].after:
            kept.append(span)
    return tuple(kept)


def _latest_first(rows: Iterable[RolloutRow]) -> tuple[RolloutRow, ...]:
    return tuple(sorted(rows, key=lambda row: (_moment(row), row.run_id), reverse=True))


def _moment(row: RolloutRow) -> datetime:
    return row.closed_at or row.started_at or BEGINNING
