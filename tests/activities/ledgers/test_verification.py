"""Any change of a ledger is found, and said where."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activities.ledgers import chain
from activities.ledgers.file import FileLedger
from activities.ledgers.file_heads import HeadsFile
from activities.ledgers.file_pages import FilePages
from activities.ledgers.heads import head_line, head_of
from activities.ledgers.sealing import Sealer, SealReader
from activities.ledgers.verification import tips_of
from coalmine.records import ChainTip
from tests.activities.ledgers.books import (
    BOOK,
    ROLLOUT,
    entries,
    forged,
    lines,
    only,
    places,
    unchained,
    verified,
    write,
)

OTHER = f"{BOOK}/1.43.0/2"
REGIONAL = f"{BOOK}/eu/2.0.0/1"
FILE = "1.42.0-1.jsonl"


def test_a_ledger_nobody_touched_is_sound(tmp_path: Path) -> None:
    write(tmp_path, 50)
    write(tmp_path, 3, OTHER, at_once=1)
    write(tmp_path, 9, REGIONAL)
    found = verified(tmp_path)
    assert not found.faults
    assert (found.records, found.unchained, len(found.chains), found.heads.count) == (62, 0, 3, 3 + 3 + 1)


def test_a_ledger_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert verified(tmp_path / "none").records == 0


def test_entries_written_twice_and_by_two_workers_are_one_chain(tmp_path: Path) -> None:
    left, right = FileLedger(tmp_path), FileLedger(tmp_path)
    made = entries(12)
    for ledger, part in [(left, made[:5]), (right, made[2:8]), (left, made), (right, made)]:
        asyncio.run(ledger.append(BOOK, part))
    assert not verified(tmp_path).faults
    assert verified(tmp_path).records == 12


@pytest.fixture(scope="module")
def ledgers() -> Iterator[tuple[Path, Path]]:
    """A ledger of 10,000 records in three files, and a copy of it to change and to restore."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "ledger"
        write(root, 9_000, at_once=20)
        write(root, 800, OTHER)
        write(root, 200, REGIONAL)
        assert verified(root).records == 10_000
        yield root, Path(shutil.copytree(root, Path(folder) / "copy"))


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_one_bit_anywhere_is_found_and_located(ledgers: tuple[Path, Path], data: st.DataObject) -> None:
    original, copy = ledgers
    files = sorted(path.relative_to(original) for path in original.rglob("*.jsonl"))
    assert len(files) == 4
    name = data.draw(st.sampled_from(files))
    content = (original / name).read_bytes()
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    line = content.count(b"\n", 0, bit // 8) + 1
    try:
        (copy / name).write_bytes(changed)
        faults = verified(copy).faults
    finally:
        (copy / name).write_bytes(content)
    located = [fault for fault in faults if fault.file == str(copy / name)]
    assert located, "found, in that file"
    assert located[0].line == line, located[0]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_one_bit_anywhere_of_a_small_ledger(data: st.DataObject) -> None:
    """The last lines and the heads are as likely here as any other."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write(root, 6, at_once=2)
        path = data.draw(st.sampled_from(sorted(root.rglob("*.jsonl"))))
        content = bytearray(path.read_bytes())
        bit = data.draw(st.integers(0, 8 * len(content) - 1))
        line = content.count(b"\n", 0, bit // 8) + 1
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        faults = verified(root).faults
        assert (faults[0].file, faults[0].line) == (str(path), line)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.sampled_from(["remove", "repeat", "swap", "cut", "insert"]))
def test_a_record_that_is_moved_removed_or_put_in_is_found(one: int, other: int, how: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        path = write(root, 30, at_once=7)
        kept = lines(path)
        first, last = sorted((one, other))
        if how == "remove":
            del kept[one - 1]
        elif how == "repeat":
            kept.insert(other, kept[one - 1])
        elif how == "swap" and first != last:
            kept[first - 1], kept[last - 1] = kept[last - 1], kept[first - 1]
        elif how == "cut":
            del kept[one - 1 :]
        elif how == "insert":
            foreign, _ = chain.linked(entries(40)[-1], one, chain.digest(b"x"))
            kept.insert(one - 1, foreign + b"\n")
        unchanged = kept == lines(path)
        path.write_bytes(b"".join(kept))
        faults = verified(root).faults
        assert bool(faults) != unchanged
        if unchanged:
            return
        near = {"remove": one, "repeat": other + 1, "swap": first, "cut": one - 1, "insert": one}[how]
        assert faults[0].file == str(path)
        assert abs((faults[0].line or 0) - near) <= 1, (how, one, other, faults)


class TestOneFile:
    """What each change is called."""

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return write(tmp_path, 30, at_once=10)

    def test_a_record_removed(self, tmp_path: Path, path: Path) -> None:
        kept = lines(path)
        path.write_bytes(b"".join(kept[:16] + kept[17:]))
        assert places(verified(tmp_path)) == [("removed", FILE, 17)]

    def test_a_tail_cut(self, tmp_path: Path, path: Path) -> None:
        path.write_bytes(b"".join(lines(path)[:25]))
        assert places(verified(tmp_path)) == [("cut", FILE, 25)]
        assert "the head counts 30 records" in only(verified(tmp_path)).message

    def test_a_tail_cut_in_the_middle_of_a_line(self, tmp_path: Path, path: Path) -> None:
        path.write_bytes(path.read_bytes()[:-30])
        assert ("torn", FILE, 30) in places(verified(tmp_path))

    def test_two_swapped(self, tmp_path: Path, path: Path) -> None:
        kept = lines(path)
        kept[11], kept[12] = kept[12], kept[11]
        path.write_bytes(b"".join(kept))
        found = places(verified(tmp_path))
        assert found[0] == ("removed", FILE, 12)
        assert ("moved", FILE, 13) in found

    def test_a_line_rewritten_with_a_hash_that_fits(self, tmp_path: Path, path: Path) -> None:
        kept = lines(path)
        kept[11] = forged(path, 12, reason="all was well")
        path.write_bytes(b"".join(kept))
        assert places(verified(tmp_path)) == [("rewritten", FILE, 13)]

    def test_the_last_line_rewritten_with_a_hash_that_fits(self, tmp_path: Path, path: Path) -> None:
        path.write_bytes(b"".join([*lines(path)[:-1], forged(path, 30, reason="all was well")]))
        assert places(verified(tmp_path)) == [("rewritten", FILE, 30)]

    def test_a_chain_made_anew_with_the_same_length(self, tmp_path: Path, path: Path) -> None:
        made = [entry.model_copy(update={"reason": "all was well"}) for entry in entries(30)]
        path.write_bytes(chain.lines_of(made, 0, chain.genesis(ROLLOUT))[0])
        fault = only(verified(tmp_path))
        assert (fault.kind, fault.line) == ("rewritten", 10)
        assert "records 1 to 10" in fault.message

    def test_a_record_added(self, tmp_path: Path, path: Path) -> None:
        link = chain.link_of(lines(path)[-1].rstrip())
        assert link is not None
        path.write_bytes(path.read_bytes() + chain.linked(entries(31)[-1], 31, link.hash)[0] + b"\n")
        assert places(verified(tmp_path)) == [("unanchored", FILE, 31)]

    def test_a_cut_that_was_written_over(self, tmp_path: Path, path: Path) -> None:
        """The worker goes on from what it finds; that something is gone stays found."""
        path.write_bytes(b"".join(lines(path)[:25]))
        asyncio.run(FileLedger(tmp_path).append(BOOK, entries(40)[35:]))
        assert {kind for kind, _, _ in places(verified(tmp_path))} >= {"rewritten"}

    def test_a_file_removed(self, tmp_path: Path, path: Path) -> None:
        write(tmp_path, 3, OTHER)
        path.unlink()
        assert places(verified(tmp_path)) == [("missing", FILE, None)]

    def test_the_heads_removed(self, tmp_path: Path, path: Path) -> None:
        (tmp_path / "heads.jsonl").unlink()
        assert places(verified(tmp_path)) == [("unanchored", FILE, None)]

    def test_a_head_removed(self, tmp_path: Path, path: Path) -> None:
        heads = tmp_path / "heads.jsonl"
        heads.write_bytes(b"".join(lines(heads)[1:]))
        assert places(verified(tmp_path))[0] == ("head", "heads.jsonl", 1)

    def test_a_head_rewritten_with_a_seal_that_fits(self, tmp_path: Path, path: Path) -> None:
        heads = tmp_path / "heads.jsonl"
        kept = lines(heads)
        was = head_of(kept[1].rstrip())
        assert was is not None
        kept[1] = head_line(replace(was, at="2020-01-01T00:00:00.000Z"), Sealer()) + b"\n"
        heads.write_bytes(b"".join(kept))
        assert places(verified(tmp_path)) == [("head", "heads.jsonl", 3)]

    def test_a_chain_that_follows_from_another_rollouts_beginning(self, tmp_path: Path, path: Path) -> None:
        shutil.rmtree(path.parent)
        (tmp_path / "heads.jsonl").unlink()
        path.parent.mkdir(parents=True)
        made, tip = chain.lines_of(entries(3), 0, chain.genesis(OTHER))
        path.write_bytes(made)
        HeadsFile(tmp_path, Sealer()).anchor(path, ROLLOUT, 3, tip)
        assert places(verified(tmp_path)) == [("rewritten", FILE, 1)]

    def test_the_last_head_removed_with_its_records(self, tmp_path: Path, path: Path) -> None:
        """Nothing inside shows it: that is what a tip kept elsewhere is for."""
        tips = tips_of(verified(tmp_path))
        heads = tmp_path / "heads.jsonl"
        heads.write_bytes(b"".join(lines(heads)[:-1]))
        path.write_bytes(b"".join(lines(path)[:20]))
        assert not verified(tmp_path).faults
        assert places(verified(tmp_path, kept=tips)) == [("cut", FILE, 20)]

    def test_a_file_removed_with_its_heads(self, tmp_path: Path, path: Path) -> None:
        tips = tips_of(verified(tmp_path))
        path.unlink()
        (tmp_path / "heads.jsonl").unlink()
        assert places(verified(tmp_path, kept=tips)) == [("missing", FILE, None)]

    def test_a_ledger_made_anew_as_a_whole(self, tmp_path: Path, path: Path) -> None:
        tips = tips_of(verified(tmp_path))
        shutil.rmtree(tmp_path / "production")
        (tmp_path / "heads.jsonl").unlink()
        made = [entry.model_copy(update={"reason": "all was well"}) for entry in entries(30)]
        asyncio.run(FileLedger(tmp_path).append(BOOK, made))
        assert not verified(tmp_path).faults, "without a key, this is what a ledger cannot tell by itself"
        assert places(verified(tmp_path, kept=tips)) == [("rewritten", FILE, 30)]

    def test_a_tip_from_before_more_was_written_still_holds(self, tmp_path: Path, path: Path) -> None:
        tips = tips_of(verified(tmp_path))
        asyncio.run(FileLedger(tmp_path).append(BOOK, entries(40)))
        assert not verified(tmp_path, kept=tips).faults
        assert verified(tmp_path, kept=tips).compared == 1

    def test_a_file_renamed(self, tmp_path: Path, path: Path) -> None:
        path.rename(path.with_name("1.42.0-7.jsonl"))
        kinds = {kind for kind, _, _ in places(verified(tmp_path))}
        assert kinds == {"misplaced", "unanchored", "missing"}

    def test_many_faults_are_counted_not_all_listed(self, tmp_path: Path, path: Path) -> None:
        path.write_bytes(b"".join(reversed(lines(path))))
        found = verified(tmp_path)
        assert len(found.faults) == 20
        assert found.more > 0


class TestOlderLedgers:
    """Files from before ledgers were chained."""

    def test_they_read_and_are_said_to_be_unchained(self, tmp_path: Path) -> None:
        unchained(tmp_path, 12)
        found = verified(tmp_path)
        assert not found.faults
        assert (found.records, found.unchained) == (12, 12)
        assert len(asyncio.run(FileLedger(tmp_path).read(BOOK))) == 12

    def test_they_are_chained_from_where_they_were(self, tmp_path: Path) -> None:
        path = unchained(tmp_path, 12)
        assert asyncio.run(FileLedger(tmp_path).append(BOOK, entries(15))) == 3
        found = verified(tmp_path)
        assert not found.faults
        assert (found.records, found.unchained) == (15, 12)
        kept = lines(path)
        path.write_bytes(b"".join(kept[:3] + kept[4:]))
        assert places(verified(tmp_path))[0][:2] == ("removed", FILE)

    def test_a_chain_that_was_taken_off_is_no_older_ledger(self, tmp_path: Path) -> None:
        path = write(tmp_path, 5)
        kept = [json.loads(line) for line in lines(path)]
        for line in kept:
            del line["chain"]
        path.write_text("".join(json.dumps(line) + "\n" for line in kept))
        assert ("rewritten", FILE, 5) in places(verified(tmp_path))

    def test_a_line_without_a_place_after_lines_that_have_one(self, tmp_path: Path) -> None:
        path = write(tmp_path, 5)
        with path.open("ab") as file:
            file.write(entries(6)[-1].model_dump_json().encode() + b"\n")
        assert ("changed", FILE, 6) in places(verified(tmp_path))


def test_a_worker_that_dies_between_chain_and_head_is_mended_by_the_next_append(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, 4)

    def die(*_: object, **__: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as dying:
        dying.setattr("activities.ledgers.file_heads.HeadsFile.anchor", die)
        with pytest.raises(RuntimeError):
            asyncio.run(FileLedger(tmp_path).append(BOOK, entries(6)))
    assert places(verified(tmp_path)) == [("unanchored", FILE, 5)]
    # The workflow asks again, as it was not told that it is written.
    assert asyncio.run(FileLedger(tmp_path).append(BOOK, entries(6))) == 0
    assert not verified(tmp_path).faults


def test_a_torn_head_is_cut_off(tmp_path: Path) -> None:
    write(tmp_path, 4)
    heads = tmp_path / "heads.jsonl"
    whole = heads.read_bytes()
    heads.write_bytes(whole + whole[:40])
    assert places(verified(tmp_path)) == [("torn", "heads.jsonl", 2)]
    asyncio.run(FileLedger(tmp_path).append(BOOK, entries(6)))
    assert not verified(tmp_path).faults


def test_what_is_written_meanwhile_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The heads are read before the chains: what a worker appends between lies past them for a moment."""
    write(tmp_path, 4)
    chains = FilePages.chains

    def and_then_append(self: FilePages) -> list[str]:
        asyncio.run(FileLedger(tmp_path).append(BOOK, entries(9)))
        return chains(self)

    monkeypatch.setattr(FilePages, "chains", and_then_append)
    found = verified(tmp_path)
    assert not found.faults
    assert found.records == 9


def test_the_tip_a_write_tells_is_the_one_verified(tmp_path: Path) -> None:
    ledger = FileLedger(tmp_path)
    new, tip = asyncio.run(ledger.append_to_tip(BOOK, entries(9)))
    assert new == 9
    assert tip is not None
    again, same = asyncio.run(ledger.append_to_tip(BOOK, entries(9)))
    assert (again, same) == (0, tip)
    assert tips_of(verified(tmp_path)) == {ROLLOUT: tip}
    assert not verified(tmp_path, SealReader(), {ROLLOUT: ChainTip(records=tip.records, hash=tip.hash)}).faults
