"""The ledger's activities: what is written comes back, and makes a service's history."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.ledger import LedgerActivities
from coalmine.records import HistoryRequest, LedgerEntry, LedgerWrite, ServiceHistory
from coalmine.spec.ledger import Ledger
from coalmine.spec.metrics import Metric

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
METRICS = [Metric(name="errors", kind="ratio")]
COUNTS = [{"metric": "errors", "baseline": {"total": 900, "events": 18}, "canary": {"total": 100, "events": 2}}]


class Book:
    """One service's ledger, through the activities."""

    def __init__(self, path: Path) -> None:
        self.ledger = Ledger(path=str(path))
        self.activities = LedgerActivities()
        self.environment = ActivityEnvironment()

    async def write(self, *entries: LedgerEntry) -> int:
        request = LedgerWrite(
            entries=list(entries), ledger=self.ledger, service="checkout", environment="production", region="eu"
        )
        return (await self.environment.run(self.activities.write_ledger, request)).written

    async def rollout(self, version: str, outcome: str, looks: list[dict[str, Any]], at: datetime = NOON) -> None:
        rollout = f"production/checkout/eu/{version}/1"
        entries = [
            LedgerEntry(kind="look", rollout_id=rollout, sequence=n, at=at + timedelta(seconds=n), data=look)
            for n, look in enumerate(looks, 1)
        ]
        closed = LedgerEntry(
            kind="closed", rollout_id=rollout, sequence=len(looks) + 1, at=at, data={"outcome": outcome}
        )
        await self.write(*entries, closed)

    async def history(self, now: datetime = NOON + timedelta(days=1)) -> ServiceHistory:
        request = HistoryRequest(
            service="checkout",
            environment="production",
            region="eu",
            metrics=METRICS,
            ledger=self.ledger,
            now=now,
        )
        return await self.environment.run(self.activities.read_history, request)


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path / "ledger")


def look(**changes: Any) -> dict[str, Any]:
    return {"stage": "compare", "seconds": 10.0, "counts": COUNTS, **changes}


async def test_a_repeated_write_says_that_nothing_was_new(book: Book) -> None:
    entry = LedgerEntry(kind="admitted", rollout_id="production/checkout/eu/1.42.0/1", sequence=1, at=NOON)
    assert await book.write(entry) == 1
    assert await book.write(entry) == 0


async def test_a_service_without_ledger_has_no_history(book: Book) -> None:
    assert await book.history() == ServiceHistory(looks=0)


async def test_history_is_made_of_promoted_looks_that_compared(book: Book) -> None:
    await book.rollout("1.0", "promoted", [look()] * 70 + [look(stage="bake")] * 30)
    await book.rollout("1.1", "rolled_back", [look()] * 50)
    history = await book.history()
    assert history.looks == 70
    assert history.load == pytest.approx(100)
    assert (history.since, history.until) == (NOON + timedelta(seconds=1), NOON + timedelta(seconds=70))
    assert "errors" in history.channels


async def test_looks_older_than_a_month_are_left_out(book: Book) -> None:
    await book.rollout("1.0", "promoted", [look()] * 5)
    assert (await book.history(NOON + timedelta(days=29))).looks == 5
    assert (await book.history(NOON + timedelta(days=31))).looks == 0


async def test_a_window_that_caught_up_is_left_out(book: Book) -> None:
    await book.rollout("1.0", "promoted", [look()] * 10 + [look(seconds=3600.0)])
    assert (await book.history()).looks == 10


@pytest.mark.parametrize(
    "broken",
    [look(counts=[{"metric": 1}]), look(seconds="long"), look(seconds=0), {"stage": "compare"}],
)
async def test_a_look_that_cannot_be_read_is_named(book: Book, broken: dict[str, Any]) -> None:
    await book.rollout("1.0", "promoted", [look(), broken])
    with pytest.raises(ApplicationError, match=r"production/checkout/eu/1\.0/1 #2: ") as caught:
        await book.history()
    assert (caught.value.type, caught.value.non_retryable) == ("LedgerCorrupt", True)


async def test_a_ledger_that_cannot_be_written_is_tried_again(book: Book, tmp_path: Path) -> None:
    (tmp_path / "ledger").write_text("in the way")
    with pytest.raises(ApplicationError, match="cannot be written") as caught:
        await book.rollout("1.0", "promoted", [])
    assert (caught.value.type, caught.value.non_retryable) == ("LedgerError", False)


async def test_a_relative_path_is_meant_from_where_the_worker_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    await Book(Path("ledger")).rollout("1.0", "promoted", [])
    assert (tmp_path / "ledger/production/checkout/eu/1.0-1.jsonl").exists()


async def test_each_line_says_what_it_is_of(book: Book, tmp_path: Path) -> None:
    await book.rollout("1.0", "promoted", [look()])
    (path,) = (tmp_path / "ledger/production/checkout/eu").iterdir()
    for line in path.read_text().splitlines():
        assert json.loads(line)["tags"] == {
            "service": "checkout",
            "environment": "production",
            "region": "eu",
            "version": "1.0",
        }
