"""``history`` and ``decisions`` from the ledger alone: what is left when Temporal has forgotten the rollout."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from activities.ledgers.file import FileLedger
from coalmine.cli import main
from coalmine.records import Archived, LedgerEntry
from tests.activities.ledgers.books import NOON, ROLLOUT, entries

BOOK = "production/checkout"
RECORDED = Path(__file__).parents[1] / "histories/0.1.0-archive/promoted.json"


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ledger with one rollout and its history, in the working directory; no Temporal anywhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    content = gzip.compress(RECORDED.read_bytes(), mtime=0)
    ledger = FileLedger(tmp_path / "ledger")

    async def write() -> str:
        name = await ledger.keep(BOOK, ROLLOUT, "run.history.json.gz", content)
        told = Archived(
            file=name,
            sha256=hashlib.sha256(content).hexdigest(),
            run_id="run",
            events=1,
            bytes=len(content),
            whole=True,
        )
        archived = entry(8, "archived", told.model_dump(mode="json"))
        failed = entry(9, "archive_failed", {"run_id": "other"})
        await ledger.append(BOOK, [*entries(7), archived, failed])
        return name

    return tmp_path / "ledger" / asyncio.run(write())


LATER = NOON + timedelta(hours=1)


def entry(sequence: int, kind: str, data: dict[str, Any]) -> LedgerEntry:
    return LedgerEntry(kind=kind, rollout_id=ROLLOUT, sequence=sequence, at=LATER, reason="no space left", data=data)


def test_history_from_the_copy(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["history", ROLLOUT, "--ledger", "-o", "json"]) == 0
    printed = capsys.readouterr()
    told = json.loads(printed.out)["entries"]
    assert {one["kind"] for one in told} >= {"submitted", "activity", "closed"}
    assert all(one["run_id"] == "run" for one in told)
    assert "the history of run other was not kept: no space left" in printed.err
    assert main(["history", "checkout", "--ledger", "ledger", "--all"]) == 0
    assert len(capsys.readouterr().out.splitlines()) > len(told)


def test_a_copy_that_was_changed_is_not_told(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept.write_bytes(gzip.compress(b'{"events": []}'))
    assert main(["history", ROLLOUT, "--ledger"]) == 1
    assert "1.42.0-1.run.history.json.gz: the kept history was changed" in capsys.readouterr().err


def named(file: str, content: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    return Archived(file=file, sha256=digest, run_id="run", events=1, bytes=1, whole=True).model_dump(mode="json")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no gzip",
        gzip.compress(b"{}")[:-9],
        gzip.compress(b"{"),
        gzip.compress(b"[]"),
        gzip.compress(b"[" * 100_000),
        gzip.compress(b'{"events": [{"eventId": "x"}]}'),
    ],
    # gzip writes the time down: no two processes would name them alike.
    ids=["empty", "no gzip", "cut", "half an object", "a list", "deep", "no event"],
)
def test_a_copy_that_is_no_history_though_it_is_named_is_said(
    kept: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    kept.write_bytes(content)
    name = kept.relative_to(Path.cwd() / "ledger").as_posix()
    asyncio.run(FileLedger(Path("ledger")).append(BOOK, [entry(10, "archived", named(name, content))]))
    assert main(["history", ROLLOUT, "--ledger"]) == 1
    assert "1.42.0-1.run.history.json.gz: the kept history is none" in capsys.readouterr().err


def test_an_entry_that_names_no_copy_any_more_is_said(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chain = kept.with_name("1.42.0-1.jsonl")
    chain.write_bytes(chain.read_bytes().replace(b'"sha256"', b'"sha255"'))
    assert main(["history", ROLLOUT, "--ledger"]) == 1
    said = capsys.readouterr().err
    assert f"error: {ROLLOUT}: entry 8 names no archived history (sha256: Field required): it was changed" in said


def test_a_copy_that_is_gone_is_said(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept.unlink()
    assert main(["history", ROLLOUT, "--ledger"]) == 2
    said = capsys.readouterr().err
    assert "the history of run run is missing" in said
    assert f"its records: coalmine decisions {ROLLOUT} --ledger" in said


def test_decisions_from_the_ledger(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decisions", "checkout", "-e", "production", "--ledger", "ledger", "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["sequence"] for one in found["entries"]] == list(range(1, 10))
    assert main(["decisions", ROLLOUT, "--ledger"]) == 0
    assert "5m and 2,104 requests at 10 %" in capsys.readouterr().out


def test_without_it_temporal_is_asked(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decisions", ROLLOUT]) == 1
    assert "no connection to Temporal" in capsys.readouterr().err


def test_a_rollout_the_ledger_does_not_have(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decisions", f"{BOOK}/9.9.9/1", "--ledger"]) == 2
    assert f"has no rollout {BOOK}/9.9.9/1; the latest there is {ROLLOUT}" in capsys.readouterr().err
