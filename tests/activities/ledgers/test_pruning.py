"""Retention drops whole chains, and leaves a tombstone."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from activities.ledgers.base import LedgerPages
from activities.ledgers.file import FileLedger
from activities.ledgers.file_pages import FilePages
from activities.ledgers.pruning import Old, plan, prune
from activities.ledgers.sealing import SealReader
from activities.ledgers.verification import verify
from coalmine.errors import LedgerCorrupt, LedgerError
from coalmine.records import LedgerEntry
from tests.activities.ledgers.books import BOOK, NOON, ROLLOUT, entries, lines, only, unchained, verified
from tests.activities.ledgers.worlds import FileWorld, S3World

YOUNG = f"{BOOK}/1.43.0/2"
LATER = NOON + timedelta(days=400)


def young() -> list[LedgerEntry]:
    return [entry.model_copy(update={"at": LATER, "rollout_id": YOUNG}) for entry in entries(3)]


async def fill(world: FileWorld | S3World) -> None:
    store = world.workers[0]
    await store.append(BOOK, entries(9))
    await store.keep(BOOK, ROLLOUT, "run.history.json.gz", b"x")
    await store.append(BOOK, young())


def pruned(pages: LedgerPages) -> list[Old]:
    return list(prune(pages, plan(pages, SealReader(), LATER), "ana"))


@pytest.fixture(params=["file", "s3"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> FileWorld | S3World:
    if request.param == "file":
        return FileWorld(tmp_path / "ledger")
    found: S3World = request.getfixturevalue("s3_world")
    return found


def test_whole_chains_go_with_what_is_beside_them(world: FileWorld | S3World) -> None:
    asyncio.run(fill(world))
    planned = plan(world.pages, SealReader(), LATER)
    assert ([one.rollout_id for one in planned.old], planned.spared, planned.young) == ([ROLLOUT], (), 1)
    (gone,) = pruned(world.pages)
    assert (gone.last, gone.tip.records, gone.closed, len(gone.kept)) == (NOON + timedelta(seconds=9), 9, False, 1)
    assert world.pages.chains() == [f"{BOOK}/1.43.0-2"]
    assert world.pages.kept() == []
    found = verify(world.pages, SealReader(), {ROLLOUT: gone.tip})
    assert not found.faults, "a chain that was pruned is not missing"
    (stone,) = found.heads.pruned.values()
    assert (stone.rollout_id, stone.records, stone.tip, stone.by) == (ROLLOUT, 9, gone.tip.hash, "ana")
    assert stone.last == gone.last.isoformat()
    assert pruned(world.pages) == []


def test_a_prune_that_died_half_way_is_finished_by_the_next(
    world: FileWorld | S3World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(fill(world))

    def die(*_: object) -> None:
        raise LedgerError("killed")

    with monkeypatch.context() as dying:
        dying.setattr(type(world.pages), "drop", die)
        with pytest.raises(LedgerError):
            pruned(world.pages)
    assert "though the heads say that ana pruned it" in only(verify(world.pages, SealReader())).message
    assert [one.buried for one in pruned(world.pages)] == [True]
    found = verify(world.pages, SealReader())
    assert (found.faults, len(found.heads.pruned)) == ([], 1)


def test_a_chain_that_was_changed_is_spared(tmp_path: Path) -> None:
    asyncio.run(FileLedger(tmp_path).append(BOOK, entries(9)))
    path = FileLedger(tmp_path).file_of(BOOK, ROLLOUT)
    path.write_bytes(b"".join(lines(path)[:5]))
    planned = plan(FilePages(tmp_path), SealReader(), LATER)
    assert planned.old == ()
    assert [report.file for report in planned.spared] == [str(path)]


def test_a_chain_whose_history_was_changed_is_spared(tmp_path: Path) -> None:
    world = FileWorld(tmp_path)
    told = {"file": "gone", "sha256": "0" * 64, "run_id": "r", "events": 1, "bytes": 1, "whole": True}
    archived = entries(1)[0].model_copy(update={"kind": "archived", "data": told})
    asyncio.run(world.workers[0].append(BOOK, [archived]))
    assert len(plan(world.pages, SealReader(), LATER).spared) == 1


def test_nothing_goes_from_a_ledger_whose_heads_were_changed(tmp_path: Path) -> None:
    asyncio.run(FileLedger(tmp_path).append(BOOK, entries(9)))
    asyncio.run(FileLedger(tmp_path).append(BOOK, entries(10)))
    heads = tmp_path / "heads.jsonl"
    heads.write_bytes(b"".join(lines(heads)[1:]))
    with pytest.raises(LedgerCorrupt, match=r"heads\.jsonl:1: .*nothing is pruned"):
        plan(FilePages(tmp_path), SealReader(), LATER)


def test_ledgers_from_before_the_chain_go_too(tmp_path: Path) -> None:
    unchained(tmp_path, 5)
    assert [one.rollout_id for one in pruned(FilePages(tmp_path))] == [ROLLOUT]
    assert not verified(tmp_path).faults


def test_a_rollout_that_is_written_again_after_its_prune_is_found(tmp_path: Path) -> None:
    """Its number is not given twice, so nobody but a hand does that."""
    asyncio.run(FileLedger(tmp_path).append(BOOK, entries(9)))
    pruned(FilePages(tmp_path))
    asyncio.run(FileLedger(tmp_path).append(BOOK, entries(2)))
    assert "pruned it" in only(verified(tmp_path)).message
