"""With a key, what no signed head vouches for is a finding: also where heads and chains were taken off as a whole."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from activities.ledgers.file import FileLedger
from activities.ledgers.file_pages import FilePages
from activities.ledgers.pruning import plan
from activities.ledgers.sealing import Sealer, SealReader, key_name
from activities.ledgers.stated import Pin, Stated, pin_of_unchained
from activities.ledgers.verification import Verification, tips_of, verify
from coalmine.errors import LedgerCorrupt
from tests.activities.ledgers.books import BOOK, NOON, ROLLOUT, entries, lines, only, places, unchained, verified, write
from tests.activities.ledgers.worlds import S3World

OTHER = f"{BOOK}/1.43.0/2"
KEY = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
NAME = key_name(KEY.public_key())
SEALER, READER = Sealer(KEY, NAME), SealReader({NAME: KEY.public_key()})
FORGED = [entry.model_copy(update={"reason": "all was well"}) for entry in entries(30)]
FILE, NEXT = "1.42.0-1.jsonl", "1.43.0-2.jsonl"


def judged(root: Path, **stated: Pin | bool) -> Verification:
    return verify(FilePages(root), READER, stated=Stated(**stated))  # type: ignore[arg-type]


def append(root: Path, sealer: Sealer, records: int) -> None:
    asyncio.run(FileLedger(root, sealer).append(BOOK, entries(records)))


def pin_in(message: str, option: str) -> Pin:
    """What the finding says to say."""
    number, _, digest = message.rpartition(f"{option} ")[2].partition(":")
    return Pin(int(number), digest)


class TestMadeAnew:
    """By somebody who can write here, and has no key."""

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        write(tmp_path, 30, sealer=SEALER)
        write(tmp_path, 10, OTHER, sealer=SEALER)
        assert not verified(tmp_path, READER).faults
        return tmp_path

    def strip(self, root: Path) -> None:
        (root / "heads.jsonl").unlink()
        for path in root.rglob("*.jsonl"):
            kept = [json.loads(line) | {"reason": "all was well"} for line in lines(path)]
            path.write_text("".join(json.dumps({**line, "chain": None}) + "\n" for line in kept))
            path.write_text(path.read_text().replace(', "chain": null', ""))

    def test_without_heads_and_chains(self, root: Path) -> None:
        self.strip(root)
        found = verified(root, READER)
        assert places(found) == [("unsigned", "heads.jsonl", None), ("unsigned", FILE, 1), ("unsigned", NEXT, 1)]
        assert "no head is there, though a key was given and the ledger holds 2 chains" in found.faults[0].message
        assert not verified(root).faults, "without a key, they are records from before ledgers were chained"

    def test_one_file_without_its_chain_beside_a_sound_one(self, root: Path) -> None:
        unchained(root, 5, f"{BOOK}/1.44.0/3")
        assert places(verified(root, READER)) == [("unsigned", "1.44.0-3.jsonl", 1)]

    def test_then_a_worker_with_the_key_wrote_on(self, root: Path) -> None:
        self.strip(root)
        append(root, SEALER, 31)
        assert places(verified(root, READER)) == [("unsigned", FILE, 1), ("unsigned", NEXT, 1)]

    def test_with_heads_that_are_not_signed_before_a_worker_wrote_on(self, root: Path) -> None:
        shutil.rmtree(root)
        asyncio.run(FileLedger(root).append(BOOK, FORGED))
        append(root, SEALER, 31)
        found = verified(root, READER)
        assert places(found) == [("unsigned", "heads.jsonl", 1)]
        assert "head 1 is not signed, though a signed one follows" in only(found).message

    def test_with_nothing_left(self, root: Path) -> None:
        shutil.rmtree(root)
        root.mkdir()
        fault = only(verified(root, READER))
        assert (fault.kind, fault.file, fault.line) == ("missing", str(root), None)
        assert "if nothing was written yet, say --allow-empty" in fault.message
        assert not judged(root, empty=True).faults
        assert not verified(root).faults

    def test_an_empty_ledger_may_hold_no_chain(self, root: Path) -> None:
        self.strip(root)
        assert len(judged(root, empty=True).faults) == 3

    def test_only_the_chains_are_left(self, root: Path) -> None:
        (root / "heads.jsonl").unlink()
        assert places(verified(root, READER)) == [
            ("unsigned", "heads.jsonl", None),
            ("unanchored", FILE, None),
            ("unanchored", NEXT, None),
        ]

    def test_nothing_is_pruned(self, root: Path) -> None:
        self.strip(root)
        with pytest.raises(LedgerCorrupt, match=r"heads\.jsonl: no head is there, .*: nothing is pruned"):
            plan(FilePages(root), READER, NOON)


class TestBegunBeforeTheKey:
    """Verifiable with a statement that names what it accepts by hash."""

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        for records, sealer in [(5, Sealer()), (9, Sealer()), (12, SEALER), (20, SEALER)]:
            append(tmp_path, sealer, records)
        return tmp_path

    def stated(self, root: Path) -> Pin:
        fault = only(verified(root, READER))
        assert (fault.kind, fault.line) == ("unsigned", 1)
        assert "heads 1 to 2 are not signed, though a signed one follows" in fault.message
        return pin_in(fault.message, "--signed-from")

    def test_it_passes_when_stated(self, root: Path) -> None:
        pin = self.stated(root)
        assert pin.number == 3
        assert not judged(root, signed_from=pin).faults
        append(root, SEALER, 25)
        assert not judged(root, signed_from=pin).faults

    def test_what_was_stated_cannot_be_made_anew(self, root: Path) -> None:
        """The number alone would let other heads without a signature stand there."""
        pin = self.stated(root)
        shutil.rmtree(root)
        for records in (5, 9):
            asyncio.run(FileLedger(root).append(BOOK, FORGED[:records]))
        append(root, SEALER, 12)
        fault = only(judged(root, signed_from=pin))
        assert (fault.kind, fault.line) == ("head", 2)
        assert "the head before 3 is not the one that --signed-from names" in fault.message

    def test_nor_removed(self, root: Path) -> None:
        pin = self.stated(root)
        shutil.rmtree(root)
        append(root, SEALER, 12)
        assert ("head", "heads.jsonl", 1) in places(judged(root, signed_from=pin))

    def test_more_heads_without_a_signature_are_found(self, root: Path) -> None:
        early = Pin(2, self.stated(root).hash)
        assert judged(root, signed_from=early).faults
        pin = self.stated(root)
        append(root, Sealer(), 25)
        assert places(judged(root, signed_from=pin))[0] == ("unsigned", "heads.jsonl", 5)

    def test_signed_from_the_first_head(self, tmp_path: Path) -> None:
        append(tmp_path / "other", SEALER, 5)
        assert not verified(tmp_path / "other", READER).faults

    def test_nothing_signed_yet(self, tmp_path: Path) -> None:
        append(tmp_path / "other", Sealer(), 5)
        append(tmp_path / "other", Sealer(), 6)
        fault = only(verified(tmp_path / "other", READER))
        assert (fault.kind, fault.line) == ("unsigned", 2)
        assert "until one has, nothing can be verified with --key" in fault.message


class TestBegunBeforeChains:
    """Records from before ledgers were chained are accepted as those they are."""

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        unchained(tmp_path, 12)
        unchained(tmp_path, 3, OTHER)
        append(tmp_path, SEALER, 15)
        return tmp_path

    def stated(self, root: Path) -> Pin:
        found = verified(root, READER)
        assert places(found) == [("unsigned", FILE, 1), ("unsigned", NEXT, 1)]
        assert {pin_in(fault.message, "--unchained") for fault in found.faults} == {pin_of_unchained(found.chains)}
        return pin_in(found.faults[0].message, "--unchained")

    def test_they_pass_when_stated(self, root: Path) -> None:
        pin = self.stated(root)
        assert pin.number == 15
        found = judged(root, unchained=pin)
        assert not found.faults
        assert tips_of(found)[ROLLOUT].records == 15

    @pytest.mark.parametrize("how", ["edit", "remove", "add"])
    def test_others_do_not(self, root: Path, how: str) -> None:
        pin, path = self.stated(root), root / BOOK / FILE
        if how == "edit":
            path.write_bytes(path.read_bytes().replace(b"no harm", b"NO HARM", 1))
            assert not verified(root).faults, "no chain proves it"
        elif how == "remove":
            (root / BOOK / NEXT).unlink()
        else:
            unchained(root, 1, f"{BOOK}/1.44.0/3")
        found = judged(root, unchained=pin)
        assert {fault.kind for fault in found.faults} == {"unsigned"}
        assert "are not those that --unchained names" in found.faults[0].message

    def test_all_of_them_removed(self, root: Path) -> None:
        pin = self.stated(root)
        shutil.rmtree(root)
        append(root, SEALER, 15)
        assert "though --unchained names 15: they were removed" in only(judged(root, unchained=pin)).message


def test_in_a_bucket(s3_world: S3World) -> None:
    world = S3World(s3_world.ledger, SEALER)
    (place,) = [fault.file for fault in verify(world.pages, READER).faults]
    assert place == world.pages.place
    assert not verify(world.pages, READER, stated=Stated(empty=True)).faults
    asyncio.run(world.workers[0].append(BOOK, entries(5)))
    asyncio.run(world.workers[0].append(BOOK, entries(9)))
    assert not verify(world.pages, READER).faults
    world.replace_heads([])
    world.replace(f"{BOOK}/1.42.0-1", [entry.model_dump_json().encode() + b"\n" for entry in FORGED[:9]])
    assert [fault.kind for fault in verify(world.pages, READER).faults] == ["unsigned", "unsigned"]
    assert not verify(world.pages, SealReader()).faults
