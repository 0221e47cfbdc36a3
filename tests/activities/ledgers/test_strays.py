"""What is named like a chain and is none is named by a verification, and never read."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from activities.ledgers.file import FileLedger
from activities.ledgers.file_archives import content_of
from activities.ledgers.file_heads import NAME
from activities.ledgers.file_pages import FilePages
from coalmine.errors import LedgerError
from tests.activities.ledgers.books import BOOK, ROLLOUT, only, verified, write


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("place", "make", "kind", "words"),
    [
        (f"{BOOK}/x.jsonl", os.mkfifo, "misplaced", "no regular file"),
        ("x.jsonl", os.mkfifo, "misplaced", "no regular file"),
        (f"{BOOK}/x.jsonl", os.mkdir, "misplaced", "folder"),
        (f"{BOOK}/x.jsonl", lambda path: path.symlink_to("nowhere"), "misplaced", "no regular file"),
        (f"{BOOK}/x.jsonl", Path.touch, "unanchored", "empty"),
        ("x.jsonl", Path.touch, "misplaced", "own folder"),
    ],
)
def test_what_no_worker_put_there_is_named(
    tmp_path: Path, place: str, make: Callable[[Path], object], kind: str, words: str
) -> None:
    write(tmp_path, 5)
    make(tmp_path / place)
    fault = only(verified(tmp_path))
    assert (fault.kind, fault.file) == (kind, str(tmp_path / place))
    assert words in fault.message


def test_a_chain_copied_to_the_top_folder_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, 5)
    copy = shutil.copy(path, tmp_path / path.name)
    assert only(verified(tmp_path)).file == str(copy)


def test_a_service_may_be_called_like_a_chain(tmp_path: Path) -> None:
    write(tmp_path, 5, "production/shop.jsonl/1.42.0/1")
    assert not verified(tmp_path).faults


@pytest.mark.timeout(20)
def test_a_pipe_in_place_of_heads_or_a_history_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / NAME)
    with pytest.raises(LedgerError, match="no regular file"):
        list(FilePages(tmp_path).heads())
    with pytest.raises(LedgerError, match="no regular file"):
        content_of(tmp_path, NAME)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("nowhere")])
def test_and_no_worker_reads_it(tmp_path: Path, make: Callable[[Path], object]) -> None:
    write(tmp_path, 5)
    make(tmp_path / BOOK / "x.jsonl")
    ledger = FileLedger(tmp_path)
    assert asyncio.run(ledger.latest(BOOK)) == ROLLOUT
    assert len(asyncio.run(ledger.read(BOOK))) == 5
    assert asyncio.run(ledger.books()) == [BOOK]
