"""The ledger on disk: once each, whatever crashes, and cheap however long it grows."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activities.ledgers import file_chain, file_reading, locked_file
from activities.ledgers.file import FileLedger
from coalmine.errors import LedgerCorrupt, LedgerError
from coalmine.records import LedgerEntry

BOOK = "production/checkout"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROLLOUT = f"{BOOK}/1.42.0/1"


def entry(sequence: int, rollout: str = ROLLOUT, kind: str = "look", **fields: object) -> LedgerEntry:
    at = fields.pop("at", NOON + timedelta(seconds=sequence))
    return LedgerEntry.model_validate(
        {"kind": kind, "rollout_id": rollout, "sequence": sequence, "at": at, "data": fields}
    )


def numbers(entries: list[LedgerEntry]) -> list[int]:
    return [found.sequence for found in entries]


async def test_what_is_appended_is_read_back(tmp_path: Path) -> None:
    ledger = FileLedger(tmp_path / "ledger")
    entries = [entry(1, reason="ä\n\u2028 not a new line"), entry(2)]
    assert await ledger.append(BOOK, entries) == 2
    assert await ledger.read(BOOK) == entries
    path = tmp_path / "ledger/production/checkout/1.42.0-1.jsonl"
    assert len(path.read_bytes().split(b"\n")) == 3, "one line an entry"


@pytest.mark.parametrize("cold", [False, True])
async def test_an_entry_that_is_there_is_not_written_again(tmp_path: Path, cold: bool) -> None:
    ledger = FileLedger(tmp_path)
    await ledger.append(BOOK, [entry(1), entry(2)])
    ledger = FileLedger(tmp_path) if cold else ledger
    assert await ledger.append(BOOK, [entry(1), entry(2), entry(3)]) == 1
    assert await ledger.append(BOOK, [entry(3), entry(3)]) == 0
    assert numbers(await ledger.read(BOOK)) == [1, 2, 3]


async def test_the_same_entry_twice_in_one_call_is_one(tmp_path: Path) -> None:
    ledger = FileLedger(tmp_path)
    assert await ledger.append(BOOK, [entry(1), entry(1)]) == 1
    assert numbers(await ledger.read(BOOK)) == [1]


async def test_two_writers_see_each_other(tmp_path: Path) -> None:
    left, right = FileLedger(tmp_path), FileLedger(tmp_path)
    assert await left.append(BOOK, [entry(1)]) == 1
    assert await right.append(BOOK, [entry(1), entry(2)]) == 1
    assert await left.append(BOOK, [entry(2), entry(3)]) == 1
    assert numbers(await right.read(BOOK)) == [1, 2, 3]


async def test_a_warm_ledger_reads_nothing_of_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = FileLedger(tmp_path)
    await ledger.append(BOOK, [entry(number) for number in range(1, 500)])

    def refuse(file: int) -> bytes:
        raise AssertionError("read the file again")

    monkeypatch.setattr(file_chain, "read_all", refuse)
    assert await ledger.append(BOOK, [entry(499), entry(500)]) == 1


async def test_rollouts_and_regions_have_files_of_their_own(tmp_path: Path) -> None:
    ledger = FileLedger(tmp_path)
    other, regional = f"{BOOK}/1.42.0/2", f"{BOOK}/eu/1.42.0/1"
    assert await ledger.append(BOOK, [entry(1), entry(1, other)]) == 2
    assert await ledger.append(f"{BOOK}/eu", [entry(1, regional)]) == 1
    assert [found.rollout_id for found in await ledger.read(BOOK)] == [ROLLOUT, other]
    assert [found.rollout_id for found in await ledger.read(f"{BOOK}/eu")] == [regional]


@pytest.mark.parametrize("version", ["..", "1 2", "a%2Fb", "ü" * 200, ".hidden", "1:2*?"])
async def test_any_version_finds_its_file_within_the_book(tmp_path: Path, version: str) -> None:
    ledger = FileLedger(tmp_path)
    rollout = f"{BOOK}/{version}/7"
    await ledger.append(BOOK, [entry(1, rollout)])
    (written,) = (tmp_path / BOOK).iterdir()
    assert written.name.endswith("-7.jsonl")
    assert numbers(await ledger.read(BOOK)) == [1]


@pytest.mark.parametrize(
    "rollout", ["", "production/other/1/1", f"{BOOK}/1", f"{BOOK}/1/", f"{BOOK}/1/.", f"{BOOK}/eu/1/1"]
)
async def test_a_rollout_of_another_book_is_refused(tmp_path: Path, rollout: str) -> None:
    with pytest.raises(LedgerError, match="is not production/checkout/<version>/<n>"):
        await FileLedger(tmp_path).append(BOOK, [entry(1, rollout)])


async def test_a_rollout_that_got_no_number_has_a_file_too(tmp_path: Path) -> None:
    ledger = FileLedger(tmp_path)
    rollout = f"{BOOK}/1.42.0/01a20632-94ea-7a2e-8f89-7b57fb332e89"
    assert await ledger.append(BOOK, [entry(1, rollout)]) == 1
    assert [found.rollout_id for found in await ledger.read(BOOK)] == [rollout]


@pytest.mark.parametrize("book", ["../x", "a//b", "a/./b", ""])
async def test_a_book_never_leaves_the_folder(tmp_path: Path, book: str) -> None:
    with pytest.raises(LedgerError, match="is not <environment>/<service>"):
        await FileLedger(tmp_path).read(book)


@pytest.mark.parametrize("cold", [False, True])
async def test_a_torn_line_is_cut_off_and_written_again(tmp_path: Path, cold: bool) -> None:
    ledger = FileLedger(tmp_path)
    await ledger.append(BOOK, [entry(1)])
    path = ledger.file_of(BOOK, ROLLOUT)
    with path.open("ab") as file:
        file.write(entry(2).model_dump_json().encode()[:-20])
    assert numbers(await ledger.read(BOOK)) == [1], "left out while reading"
    ledger = FileLedger(tmp_path) if cold else ledger
    assert await ledger.append(BOOK, [entry(2)]) == 1
    assert await ledger.read(BOOK) == [entry(1), entry(2)]


async def test_a_last_line_that_lacks_only_its_end_counts(tmp_path: Path) -> None:
    ledger = FileLedger(tmp_path)
    path = ledger.file_of(BOOK, ROLLOUT)
    path.parent.mkdir(parents=True)
    path.write_text(entry(1).model_dump_json())
    assert numbers(await ledger.read(BOOK)) == [1]
    assert await ledger.append(BOOK, [entry(1), entry(2)]) == 1
    assert await ledger.read(BOOK) == [entry(1), entry(2)]


async def test_a_broken_line_in_the_middle_is_named_and_does_not_stop_writing(tmp_path: Path) -> None:
    ledger = FileLedger(tmp_path)
    await ledger.append(BOOK, [entry(1)])
    path = ledger.file_of(BOOK, ROLLOUT)
    with path.open("ab") as file:
        file.write(b"oops\n")
    assert await ledger.append(BOOK, [entry(2)]) == 1
    with pytest.raises(LedgerCorrupt, match=r"1\.42\.0-1\.jsonl:2: not a ledger entry"):
        await ledger.read(BOOK)


async def test_a_file_that_was_moved_away_begins_anew(tmp_path: Path) -> None:
    ledger = FileLedger(tmp_path)
    await ledger.append(BOOK, [entry(1)])
    path = ledger.file_of(BOOK, ROLLOUT)
    path.rename(tmp_path / "archive.jsonl")
    assert await ledger.append(BOOK, [entry(2)]) == 1
    assert numbers(await ledger.read(BOOK)) == [2]


async def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = FileLedger(tmp_path)
    await ledger.append(BOOK, [entry(1)])
    before = ledger.file_of(BOOK, ROLLOUT).read_bytes()
    written = os.write

    def half(file: int, content: bytes) -> int:
        if len(content) < 60:
            raise OSError(errno.ENOSPC, "No space left on device")
        return written(file, content[: len(content) // 2])

    with monkeypatch.context() as full:
        full.setattr(os, "write", half)
        with pytest.raises(LedgerError, match="cannot be written: No space left on device"):
            await ledger.append(BOOK, [entry(2)])
    assert ledger.file_of(BOOK, ROLLOUT).read_bytes() == before
    assert await ledger.append(BOOK, [entry(2)]) == 1
    assert numbers(await ledger.read(BOOK)) == [1, 2]


async def test_a_path_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "production").write_text("a file, not a folder")
    with pytest.raises(LedgerError, match=r"1\.42\.0-1\.jsonl cannot be written: "):
        await FileLedger(tmp_path).append(BOOK, [entry(1)])


async def test_a_lock_held_by_another_is_waited_for_but_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = FileLedger(tmp_path)
    await ledger.append(BOOK, [entry(1)])
    with ledger.file_of(BOOK, ROLLOUT).open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with monkeypatch.context() as hurried:
            hurried.setattr(locked_file, "LOCK_WITHIN", 0.05)
            with pytest.raises(LedgerError, match=rf"process {os.getpid()} has held its lock"):
                await ledger.append(BOOK, [entry(2)])
        waiting = asyncio.create_task(ledger.append(BOOK, [entry(2)]))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        fcntl.flock(held, fcntl.LOCK_UN)
        assert await waiting == 1


WRITER = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from activities.ledgers.file import FileLedger
from coalmine.records import LedgerEntry
async def main():
    ledger, new = FileLedger(Path({path!r})), 0
    for first in range(1, 200, 10):
        entries = [LedgerEntry(kind="look", rollout_id={rollout!r}, sequence=number, at={at!r})
                   for number in range(first, first + 15)]
        new += await ledger.append({book!r}, entries)
    print(new)
asyncio.run(main())
"""


def test_processes_that_write_the_same_entries_write_each_once(tmp_path: Path) -> None:
    root = str(Path(__file__).parents[3])
    script = WRITER.format(tests=root, path=str(tmp_path), rollout=ROLLOUT, at=NOON.isoformat(), book=BOOK)
    writers = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    answers = [writer.communicate(timeout=60)[0] for writer in writers]
    assert sum(int(answer) for answer in answers) == 205
    found = asyncio.run(FileLedger(tmp_path).read(BOOK))
    assert sorted(numbers(found)) == list(range(1, 206))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 1),
            st.lists(st.integers(1, 12), min_size=1, max_size=6),
            st.one_of(st.none(), st.integers(1, 90)),
        ),
        max_size=12,
    )
)
def test_each_acknowledged_entry_is_there_once_whatever_tears(
    calls: list[tuple[int, list[int], int | None]],
) -> None:
    """Two writers append overlapping batches; a crash may leave any beginning of a line at the end."""
    with tempfile.TemporaryDirectory() as folder:
        writers = [FileLedger(Path(folder)), FileLedger(Path(folder))]
        acknowledged: set[int] = set()
        for which, batch, torn in calls:
            asyncio.run(writers[which].append(BOOK, [entry(number) for number in batch]))
            acknowledged |= set(batch)
            if torn is not None:
                with writers[which].file_of(BOOK, ROLLOUT).open("ab") as file:
                    file.write(entry(99).model_dump_json().encode()[:torn])
        found = asyncio.run(writers[0].read(BOOK))
        assert sorted(numbers(found)) == sorted(acknowledged)


class TestPromotedLooks:
    """What a service's history is made of."""

    async def write(
        self, ledger: FileLedger, number: int, outcome: str | None, looks: int = 3, day: int = 0
    ) -> list[LedgerEntry]:
        rollout = f"{BOOK}/1.{number}.0/1"
        first = NOON + timedelta(days=day)
        entries = [entry(1, rollout, "admitted", at=first)]
        entries += [entry(2 + n, rollout, at=first + timedelta(seconds=n), seconds=30) for n in range(looks)]
        if outcome is not None:
            entries.append(entry(50, rollout, "closed", at=first + timedelta(hours=1), outcome=outcome))
            entries.append(entry(51, rollout, "undelivered", at=first + timedelta(hours=1)))
        await ledger.append(BOOK, entries)
        return [found for found in entries if found.kind == "look"]

    async def test_only_rollouts_that_closed_as_promoted(self, tmp_path: Path) -> None:
        ledger = FileLedger(tmp_path)
        good = await self.write(ledger, 1, "promoted")
        for number, outcome in enumerate(["rolled_back", "rejected", "failed", None], 2):
            await self.write(ledger, number, outcome)
        assert await ledger.promoted_looks(BOOK, NOON - timedelta(days=30), 5000) == good

    async def test_only_looks_that_are_young_enough(self, tmp_path: Path) -> None:
        ledger = FileLedger(tmp_path)
        await self.write(ledger, 1, "promoted", day=-40)
        young = await self.write(ledger, 2, "promoted")
        assert await ledger.promoted_looks(BOOK, NOON - timedelta(days=30), 5000) == young
        assert await ledger.promoted_looks(BOOK, NOON + timedelta(seconds=1), 5000) == young[1:]

    async def test_the_newest_rollouts_first_up_to_the_limit(self, tmp_path: Path) -> None:
        ledger = FileLedger(tmp_path)
        written = [await self.write(ledger, number, "promoted", looks=4, day=number) for number in range(5)]
        assert await ledger.promoted_looks(BOOK, NOON - timedelta(days=1), 6) == written[3] + written[4]

    async def test_no_ledger_yet_is_no_looks(self, tmp_path: Path) -> None:
        assert await FileLedger(tmp_path / "none").promoted_looks(BOOK, NOON, 5000) == []

    async def test_an_old_file_is_not_read_through(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        ledger = FileLedger(tmp_path)
        await self.write(ledger, 1, "promoted", day=-40)
        monkeypatch.setattr(file_reading, "entries_of", lambda path: pytest.fail(f"read {path}"))
        assert await ledger.promoted_looks(BOOK, NOON, 5000) == []

    async def test_a_last_entry_longer_than_the_tail_is_still_found(self, tmp_path: Path) -> None:
        ledger = FileLedger(tmp_path)
        rollout = f"{BOOK}/1.1.0/1"
        look = entry(1, rollout)
        await ledger.append(BOOK, [look, entry(2, rollout, "closed", outcome="promoted", note="x" * file_reading.TAIL)])
        assert await ledger.promoted_looks(BOOK, NOON, 5000) == [look]


async def test_one_rollout_is_read_without_the_others(tmp_path: Path) -> None:
    ledger = FileLedger(tmp_path)
    other = f"{BOOK}/1.43.0/1"
    await ledger.append(BOOK, [entry(2), entry(1), entry(1, other, at=NOON + timedelta(hours=1))])
    other_file = ledger.file_of(BOOK, other)
    other_file.write_bytes(other_file.read_bytes() + b"not an entry\n")
    assert numbers(await ledger.rollout(BOOK, ROLLOUT)) == [1, 2]
    assert await ledger.rollout(BOOK, f"{BOOK}/1.42.0/2") == []


async def test_books_and_their_latest_rollout(tmp_path: Path) -> None:
    ledger = FileLedger(tmp_path)
    assert await ledger.books() == []
    later = f"{BOOK}/1.41.0/1"
    await ledger.append(BOOK, [entry(1), entry(1, later, at=NOON + timedelta(hours=1))])
    await ledger.append("production/cart/eu", [entry(1, "production/cart/eu/2.0/1")])
    assert await ledger.books() == ["production/cart/eu", "production/checkout"]
    assert await ledger.latest(BOOK) == later
    assert await ledger.latest("production/none") is None


async def test_events_of_an_environment(tmp_path: Path) -> None:
    ledger = FileLedger(tmp_path)
    await ledger.append(BOOK, [entry(1), entry(2, kind="shifted"), entry(3, kind="closed")])
    await ledger.append("production/cart/eu", [entry(4, "production/cart/eu/2.0/1", kind="shifted")])
    await ledger.append("staging/cart", [entry(5, "staging/cart/2.0/1", kind="shifted")])
    assert numbers(await ledger.events("production", NOON + timedelta(seconds=3))) == [3, 4]
