"""Stored A/A periods: whole files beside rollouts, unseen by what reads rollouts, and part of a service's history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.ledger import LedgerActivities
from activities.ledgers.file import FileLedger
from coalmine.errors import LedgerCorrupt, LedgerError
from coalmine.records import HistoryRequest, LedgerEntry, ServiceHistory
from coalmine.spec.ledger import Ledger
from coalmine.spec.metrics import Metric

BOOK = "production/checkout"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
AGES_AGO = NOON - timedelta(days=365)
TEN = timedelta(seconds=10)
COUNTS = [{"metric": "errors", "baseline": {"total": 900, "events": 18}, "canary": {"total": 100, "events": 2}}]


def looks(number: int, began: datetime = NOON, period: str = "split-x", **data: Any) -> list[LedgerEntry]:
    return [
        LedgerEntry(
            kind="look",
            rollout_id=f"{BOOK}/1.0/{period}",
            sequence=look + 1,
            at=began + look * TEN,
            data={"seconds": 10.0, "counts": COUNTS, "stored": NOON.isoformat(), **data},
        )
        for look in range(number)
    ]


def tear(path: Path) -> None:
    path.write_text(path.read_text()[:-20])


async def history(path: Path, now: datetime = NOON + timedelta(days=1)) -> ServiceHistory:
    request = HistoryRequest(
        service="checkout",
        environment="production",
        metrics=[Metric(name="errors", kind="ratio")],
        ledger=Ledger(path=str(path)),
        now=now,
    )
    return await ActivityEnvironment().run(LedgerActivities().read_history, request)


async def test_a_period_is_read_back_and_the_same_name_replaces_it(tmp_path: Path) -> None:
    ledger = FileLedger(tmp_path)
    await ledger.store_split(BOOK, "1.0-instance-a", looks(5))
    place = await ledger.store_split(BOOK, "1.0-instance-a", looks(8))
    assert Path(place) == tmp_path / BOOK / "1.0-instance-a.split"
    assert await ledger.split_looks(BOOK, AGES_AGO) == looks(8)
    assert await ledger.split_looks(BOOK, NOON + 6 * TEN) == looks(8)[6:]
    assert [path.name for path in (tmp_path / BOOK).iterdir()] == ["1.0-instance-a.split"], "nothing half-written"


async def test_what_reads_rollouts_does_not_see_it(tmp_path: Path) -> None:
    ledger = FileLedger(tmp_path)
    await ledger.store_split(BOOK, "1.0-instance-a", looks(5))
    assert await ledger.books() == []
    assert await ledger.latest(BOOK) is None
    assert await ledger.read(BOOK) == []
    assert await ledger.events("production", AGES_AGO) == []
    assert await ledger.promoted_looks(BOOK, AGES_AGO, 5000) == []


async def test_the_same_time_is_never_counted_twice(tmp_path: Path) -> None:
    ledger = FileLedger(tmp_path)
    await ledger.store_split(BOOK, "1.0-instance-a", looks(10))
    with pytest.raises(LedgerError, match=r"1\.0-instance-a\.split holds .* already: the same time would count twice"):
        await ledger.store_split(BOOK, "1.0-instance-b", looks(10, NOON + 9 * TEN))
    await ledger.store_split(BOOK, "1.0-instance-b", looks(10, NOON + 10 * TEN, "split-y"))
    assert len(await ledger.split_looks(BOOK, AGES_AGO)) == 20


@pytest.mark.parametrize("name", ["../x", "a/b", "ü" * 200, "1:2*?", ".."])
async def test_any_name_stays_within_the_book(tmp_path: Path, name: str) -> None:
    place = await FileLedger(tmp_path).store_split(BOOK, name, looks(1))
    assert Path(place).parent == tmp_path / BOOK
    assert len(Path(place).name) < 256


async def test_a_file_that_was_damaged_is_named(tmp_path: Path) -> None:
    ledger = FileLedger(tmp_path)
    await ledger.store_split(BOOK, "1.0-instance-a", looks(3))
    tear(tmp_path / BOOK / "1.0-instance-a.split")
    with pytest.raises(LedgerCorrupt, match=r"1\.0-instance-a\.split:3: not a ledger entry"):
        await ledger.split_looks(BOOK, AGES_AGO)


async def test_what_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "production").write_text("in the way")
    with pytest.raises(LedgerError, match="cannot be written: Not a directory"):
        await FileLedger(tmp_path).store_split(BOOK, "a", looks(1))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(LedgerError, match="No space left"):
        await FileLedger(tmp_path / "other").store_split(BOOK, "a", looks(1))
    assert list((tmp_path / "other" / BOOK).iterdir()) == []


async def test_it_makes_history_alone_and_with_promoted_rollouts(tmp_path: Path) -> None:
    ledger = FileLedger(tmp_path)
    await ledger.store_split(BOOK, "1.0-instance-a", looks(40))
    assert (await history(tmp_path)).looks == 40
    # A promoted rollout that ran in the same minutes: its looks stand together, not between those of the split.
    rollout = [look.model_copy(update={"rollout_id": f"{BOOK}/1.1/1", "at": look.at + TEN / 2}) for look in looks(30)]
    closed = LedgerEntry(
        kind="closed", rollout_id=f"{BOOK}/1.1/1", sequence=31, at=NOON + TEN * 40, data={"outcome": "promoted"}
    )
    await ledger.append(BOOK, [*rollout, closed])
    both = await history(tmp_path)
    assert (both.looks, both.since, both.until) == (70, NOON, NOON + 39 * TEN)


async def test_what_is_older_than_a_month_is_left_out(tmp_path: Path) -> None:
    await FileLedger(tmp_path).store_split(BOOK, "1.0-instance-a", looks(10))
    assert (await history(tmp_path, NOON + timedelta(days=30, seconds=41))).looks == 5
    assert (await history(tmp_path, NOON + timedelta(days=31))).looks == 0
