"""The contract every ledger keeps, as tests: subclass, give a fixture ``world``, and pytest runs them.

class TestMyLedger(LedgerContract):
    @pytest.fixture
    def world(self): ...   # a LedgerWorld over your store
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pytest

from activities.ledgers.base import LedgerPages, LedgerStore
from activities.ledgers.sealing import SealReader
from activities.ledgers.verification import Verification, tips_of, verify
from coalmine.errors import LedgerCorrupt, LedgerError
from coalmine.records import Archived, LedgerEntry

BOOK, REGIONAL = "production/checkout", "production/checkout/eu"
ROLLOUT, LATER = f"{BOOK}/1.42.0/1", f"{BOOK}/1.43.0/2"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class LedgerWorld(Protocol):
    """A ledger that is empty at first, and a way to change it behind its back."""

    @property
    def workers(self) -> Sequence[LedgerStore]:
        """Two stores over the same place, as two workers have them: neither knows what the other remembers."""
        ...

    @property
    def pages(self) -> LedgerPages:
        """The same place, line by line."""
        ...

    def replace(self, chain: str, lines: Sequence[bytes]) -> None:
        """Put these lines in place of a chain's, as somebody could who may write there; none: remove the chain."""
        ...

    def replace_heads(self, lines: Sequence[bytes]) -> None:
        """Put these lines in place of the heads."""
        ...


def entry(sequence: int, rollout: str = ROLLOUT, kind: str = "look", **data: object) -> LedgerEntry:
    """An entry, ``sequence`` seconds after noon unless ``at`` says otherwise."""
    at = data.pop("at", NOON + timedelta(seconds=sequence))
    reason = "ä\n\u2028\r no new line"
    return LedgerEntry.model_validate(
        {"kind": kind, "rollout_id": rollout, "sequence": sequence, "at": at, "reason": reason, "data": data}
    )


def numbers(entries: Sequence[LedgerEntry]) -> list[int]:
    """Their sequences."""
    return [found.sequence for found in entries]


def verified(world: LedgerWorld) -> Verification:
    """The whole ledger, verified."""
    return verify(world.pages, SealReader())


def lines(world: LedgerWorld, chain: str) -> list[bytes]:
    """A chain's lines."""
    return list(world.pages.lines(chain))


CHAIN = f"{BOOK}/1.42.0-1"


class LedgerContract:
    """Tests; each takes the fixture ``world``."""

    async def test_what_is_appended_is_read_back_by_any_worker(self, world: LedgerWorld) -> None:
        entries = [entry(1, note="x" * 3000), entry(2)]
        assert await world.workers[0].append(BOOK, entries) == 2
        assert await world.workers[1].read(BOOK) == entries
        assert await world.workers[1].rollout(BOOK, ROLLOUT) == entries

    async def test_an_entry_is_written_once_whoever_repeats_it(self, world: LedgerWorld) -> None:
        left, right = world.workers
        assert await left.append(BOOK, [entry(1), entry(2)]) == 2
        assert await left.append(BOOK, [entry(1), entry(2), entry(3)]) == 1
        assert await right.append(BOOK, [entry(2), entry(3), entry(4), entry(4)]) == 1
        assert await left.append(BOOK, [entry(4), entry(5)]) == 1
        assert await right.append(BOOK, [entry(1)]) == 0
        assert numbers(await left.read(BOOK)) == [1, 2, 3, 4, 5]
        assert not verified(world).faults

    async def test_what_a_run_said_after_a_reset_is_kept_beside_what_it_replaced(self, world: LedgerWorld) -> None:
        left, right = world.workers
        before = [entry(1), entry(2), entry(3, kind="closed", outcome="rolled_back")]
        later = NOON + timedelta(minutes=1)
        again = [
            entry(2, at=later, errors=7),
            entry(3, at=later, kind="closed", outcome="promoted"),
        ]
        assert await left.append(BOOK, before) == 3
        assert await right.append(BOOK, again) == 2
        assert await left.append(BOOK, again) == 0, "whoever repeats it"
        assert await right.rollout(BOOK, ROLLOUT) == [*before, *again]
        assert await right.promoted_looks(BOOK, NOON, 100) == [before[0], again[0]]
        assert not verified(world).faults

    async def test_writers_at_the_same_moment_make_one_chain(self, world: LedgerWorld) -> None:
        async def write(store: LedgerStore, first: int) -> int:
            new = 0
            for start in range(first, first + 12, 3):
                new += await store.append(BOOK, [entry(start + step) for step in range(5)])
            return new

        new = await asyncio.gather(*(write(store, first) for store in world.workers for first in (1, 7)))
        assert sum(new) == len(await world.workers[0].read(BOOK)) == 20
        found = verified(world)
        assert not found.faults
        assert found.records == 20

    async def test_writers_of_several_rollouts_at_the_same_moment(self, world: LedgerWorld) -> None:
        rollouts = [f"{BOOK}/1.{number}.0/1" for number in range(8)]
        writes = [
            store.append(BOOK, [entry(1, rollout), entry(2, rollout)])
            for rollout in rollouts
            for store in world.workers
        ]
        assert sum(await asyncio.gather(*writes)) == 16
        found = verified(world)
        assert not found.faults
        assert len(found.chains) == 8

    async def test_the_tip_is_where_the_chain_ends(self, world: LedgerWorld) -> None:
        left, right = world.workers
        await left.append(BOOK, [entry(1), entry(2)])
        new, tip = await right.append_to_tip(BOOK, [entry(2), entry(3)])
        assert (new, tip and tip.records) == (1, 3)
        assert tips_of(verified(world)) == {ROLLOUT: tip}
        assert await left.append_to_tip(BOOK, [entry(3)]) == (0, tip)

    async def test_nothing_appended_is_nothing_there(self, world: LedgerWorld) -> None:
        store = world.workers[0]
        assert await store.append_to_tip(BOOK, []) == (0, None)
        assert await store.read(BOOK) == []
        assert await store.books() == []
        assert await store.latest(BOOK) is None
        assert await store.rollout(BOOK, ROLLOUT) == []
        assert await store.promoted_looks(BOOK, NOON, 100) == []
        assert await store.events("production", NOON) == []
        assert not verified(world).faults

    async def test_entries_come_in_order_of_time_and_from_a_moment_on(self, world: LedgerWorld) -> None:
        store = world.workers[0]
        await store.append(BOOK, [entry(1), entry(3)])
        await store.append(BOOK, [entry(2, LATER)])
        assert numbers(await store.read(BOOK)) == [1, 2, 3]
        assert numbers(await store.read(BOOK, NOON + timedelta(seconds=2))) == [2, 3]

    async def test_books_regions_and_the_latest_rollout(self, world: LedgerWorld) -> None:
        store = world.workers[0]
        regional = f"{REGIONAL}/1.42.0/1"
        await store.append(BOOK, [entry(1), entry(1, LATER, at=NOON + timedelta(hours=1))])
        await store.append(REGIONAL, [entry(9, regional)])
        await store.append("staging/cart", [entry(1, "staging/cart/2.0/01a20632-94ea-7a2e")])
        assert await store.books() == [BOOK, REGIONAL, "staging/cart"]
        assert await store.latest(BOOK) == LATER
        assert await store.latest(REGIONAL) == regional
        assert await store.latest("staging/cart") == "staging/cart/2.0/01a20632-94ea-7a2e"
        assert numbers(await store.read(REGIONAL)) == [9]

    async def test_looks_of_rollouts_that_were_promoted(self, world: LedgerWorld) -> None:
        store, wanted = world.workers[0], []
        for number, outcome in enumerate(["promoted", "rolled_back", "promoted", None], 1):
            rollout, first = f"{BOOK}/1.{number}.0/1", NOON + timedelta(days=number)
            looks = [entry(step, rollout, at=first + timedelta(seconds=step)) for step in (1, 2)]
            closed = [entry(3, rollout, "closed", at=first + timedelta(hours=1), outcome=outcome)] if outcome else []
            await store.append(BOOK, [*looks, *closed])
            wanted += looks if outcome == "promoted" else []
        assert await store.promoted_looks(BOOK, NOON, 100) == wanted
        assert await store.promoted_looks(BOOK, NOON + timedelta(days=2), 100) == wanted[2:]

    async def test_events_of_an_environment(self, world: LedgerWorld) -> None:
        store = world.workers[0]
        await store.append(BOOK, [entry(1), entry(2, kind="shifted"), entry(3, kind="closed")])
        await store.append(REGIONAL, [entry(4, f"{REGIONAL}/2.0/1", kind="shifted")])
        await store.append("staging/cart", [entry(5, "staging/cart/2.0/1", kind="shifted")])
        assert numbers(await store.events("production", NOON + timedelta(seconds=3))) == [3, 4]

    @pytest.mark.parametrize("version", ["..", "1 2", "a%2Fb", "ü" * 100, ".hidden", "1:2*?", "-"])
    async def test_any_version_has_a_place(self, world: LedgerWorld, version: str) -> None:
        rollout = f"{BOOK}/{version}/7"
        await world.workers[0].append(BOOK, [entry(1, rollout)])
        assert numbers(await world.workers[1].rollout(BOOK, rollout)) == [1]
        assert not verified(world).faults

    @pytest.mark.parametrize("rollout", ["", "production/other/1/1", f"{BOOK}/1", f"{BOOK}/1/", f"{BOOK}/eu/1/1"])
    async def test_a_rollout_of_another_book_is_refused(self, world: LedgerWorld, rollout: str) -> None:
        with pytest.raises(LedgerError, match="is not production/checkout/<version>/<n>"):
            await world.workers[0].append(BOOK, [entry(1, rollout)])

    @pytest.mark.parametrize("book", ["../x", "a//b", "a/./b", ""])
    async def test_a_book_never_leaves_the_ledger(self, world: LedgerWorld, book: str) -> None:
        with pytest.raises(LedgerError, match="is not <environment>/<service>"):
            await world.workers[0].read(book)

    async def test_a_line_that_is_no_entry_is_named_and_does_not_stop_writing(self, world: LedgerWorld) -> None:
        left, right = world.workers
        await left.append(BOOK, [entry(1)])
        world.replace(CHAIN, [*lines(world, CHAIN), b"oops\n"])
        assert await right.append(BOOK, [entry(2)]) == 1
        with pytest.raises(LedgerCorrupt, match=r"1\.42\.0-1.*:2: not a ledger entry"):
            await right.read(BOOK)

    async def test_a_file_beside_a_chain(self, world: LedgerWorld) -> None:
        left, right = world.workers
        content = gzip.compress(b"{}" * 1000, mtime=0)
        digest = hashlib.sha256(content).hexdigest()
        name = await left.keep(BOOK, ROLLOUT, f"run.{digest[:12]}.history.json.gz", content)
        assert name == f"{CHAIN}.run.{digest[:12]}.history.json.gz"
        assert await right.keep(BOOK, ROLLOUT, f"run.{digest[:12]}.history.json.gz", content) == name
        assert await right.kept(name) == content
        assert await right.kept(f"{CHAIN}.none") is None
        told = Archived(file=name, sha256=digest, run_id="run", events=1, bytes=len(content), whole=True)
        archived = entry(1, kind="archived").model_copy(update={"data": told.model_dump(mode="json")})
        await left.append(BOOK, [archived])
        assert await right.books() == [BOOK], "a file is no chain"
        found = verified(world)
        assert (found.faults, found.archives, found.unnamed) == ([], 1, 0)

    @pytest.mark.parametrize("change", ["bit", "removed", "swapped", "cut", "added", "all", "heads", "last head"])
    async def test_any_change_is_found(self, world: LedgerWorld, change: str) -> None:
        for first in range(1, 30, 6):
            await world.workers[0].append(BOOK, [entry(first + step) for step in range(6)])
        assert not verified(world).faults
        kept, heads = lines(world, CHAIN), list(world.pages.heads())
        line: int | None = 11
        match change:
            case "bit":
                kept[10] = kept[10].replace(b'"sequence":11', b'"sequence":10')
            case "removed":
                del kept[10]
            case "swapped":
                kept[10], kept[11] = kept[11], kept[10]
            case "cut":
                kept, line = kept[:10], 10
            case "added":
                kept.append(kept[10])
                line = 31
            case "all":
                kept, line = [], None
            case "heads":
                heads, line = [], None
            case "last head":
                heads, line = heads[:-1], 25
        world.replace(CHAIN, kept)
        world.replace_heads(heads)
        fault = verified(world).faults[0]
        assert (fault.file, fault.line) == (world.pages.where(CHAIN), line), fault

    # ------------------------------------------------------------------------------------- stored periods

    async def test_a_stored_period_is_read_back_by_any_worker(self, world: LedgerWorld) -> None:
        """The same name replaces it."""
        one, other = world.workers
        await one.store_split(BOOK, "1.41.0-instance-a/b", period(5))
        place = await one.store_split(BOOK, "1.41.0-instance-a/b", period(8))
        assert place.endswith("1.41.0-instance-a%2Fb.split")
        assert await other.split_looks(BOOK, NOON) == period(8)
        assert numbers(await other.split_looks(BOOK, NOON + timedelta(seconds=7))) == [7, 8]
        assert await other.split_looks(REGIONAL, NOON) == []

    async def test_stored_periods_come_in_order_of_time(self, world: LedgerWorld) -> None:
        """Whatever their names."""
        one, _ = world.workers
        await one.store_split(BOOK, "a", period(2, first=11))
        await one.store_split(BOOK, "b", period(3))
        await one.store_split(REGIONAL, "a", period(1))
        assert numbers(await one.split_looks(BOOK, NOON)) == [1, 2, 3, 11, 12]

    async def test_the_same_time_is_not_stored_twice(self, world: LedgerWorld) -> None:
        """It would count twice."""
        one, other = world.workers
        place = await one.store_split(BOOK, "a", period(5))
        with pytest.raises(LedgerError, match="the same time would count twice") as refused:
            await other.store_split(BOOK, "b", period(3, first=5))
        assert str(refused.value).startswith(place)
        assert await other.split_looks(BOOK, NOON) == period(5)

    async def test_a_stored_period_is_no_rollout(self, world: LedgerWorld) -> None:
        """Nothing that reads rollouts, or verifies their chains, sees it."""
        one, _ = world.workers
        await one.store_split(BOOK, "a", period(5))
        assert await one.books() == []
        assert await one.read(BOOK) == []
        assert await one.latest(BOOK) is None
        assert await one.events("production", NOON) == []
        assert await one.promoted_looks(BOOK, NOON, 10) == []
        assert not verified(world).faults
        await one.append(BOOK, [entry(1)])
        assert numbers(await one.read(BOOK)) == [1]
        assert not verified(world).faults


def period(looks: int, first: int = 1) -> list[LedgerEntry]:
    """A stored period's looks, a second apart."""
    return [entry(number, f"{BOOK}/1.41.0/split-a") for number in range(first, first + looks)]
