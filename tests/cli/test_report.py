"""``coalmine report``: from the ledger's files alone."""

from __future__ import annotations

import asyncio
import json
import signal
from datetime import timedelta
from pathlib import Path

import pytest

from activities.ledgers.file import FileLedger
from coalmine.cli import main
from coalmine.records import LedgerEntry
from tests.cli.terminal import shown_until
from tests.report.stories import Book, rolled_back


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Rollouts of two services, one of them in two environments; no Temporal anywhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    monkeypatch.delenv("COALMINE_ENVIRONMENT", raising=False)
    for name, later in (("test/checkout/1.1.0/7", 0), ("test/checkout/1.2.0/1", 3600), ("live/cart/eu/2.0/1", 0)):
        write(tmp_path / "ledger", name, later)
    write(tmp_path / "ledger", "live/checkout/1.1.0/1", 0)
    return tmp_path / "ledger"


def write(folder: Path, rollout_id: str, later: float) -> None:
    entries: list[LedgerEntry] = [
        entry.model_copy(update={"rollout_id": rollout_id, "at": entry.at + timedelta(seconds=later)})
        for entry in rolled_back(6)
    ]
    book = rollout_id.rsplit("/", 2)[0]
    asyncio.run(FileLedger(folder).append(book, entries))


@pytest.mark.parametrize(
    ("words", "rollout"),
    [
        (["test/checkout/1.1.0/7"], "test/checkout/1.1.0/7"),
        (["test/checkout"], "test/checkout/1.2.0/1"),
        (["checkout", "-e", "test"], "test/checkout/1.2.0/1"),
        (["canary/live/checkout"], "live/checkout/1.1.0/1"),
        (["cart"], "live/cart/eu/2.0/1"),
        (["live/cart/eu/2.0/1"], "live/cart/eu/2.0/1"),
        (["cart", "--region", "eu"], "live/cart/eu/2.0/1"),
    ],
)
def test_what_is_meant(ledger: Path, words: list[str], rollout: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", *words, "-o", "json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["rollout_id"] == rollout
    assert printed.err == ""


def test_the_forms(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "test/checkout/1.1.0/7"]) == 0
    assert capsys.readouterr().out.startswith("# checkout 1.0.0 → 1.1.0 in test: rolled back\n")
    assert main(["report", "test/checkout/1.1.0/7", "-o", "html"]) == 0
    assert capsys.readouterr().out.startswith("<!DOCTYPE html>\n<html lang=")


def test_text_for_a_terminal_and_for_less(
    ledger: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "90")
    assert main(["report", "test/checkout/1.1.0/7", "-o", "text"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("checkout 1.0.0 → 1.1.0 in test: rolled back\n")
    assert "●" in printed
    # No terminal, no colours.
    assert "\x1b" not in printed
    monkeypatch.setenv("TERM", "dumb")
    assert main(["report", "test/checkout/1.1.0/7", "-o", "text"]) == 0
    assert capsys.readouterr().out.isascii()


@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
async def test_colours_are_for_terminals_that_want_them(
    ledger: Path, variables: dict[str, str], coloured: bool
) -> None:
    drawn, _, code = await shown_until(["report", "cart", "-o", "text"], ["closed: it is worse"], **variables)
    # It ends by itself: the Ctrl-C may come after that, or in the middle of it.
    assert code in (0, 130, -signal.SIGINT)
    assert ("\x1b[1;31m" in drawn) == coloured
    assert ("●" in drawn) == (variables.get("TERM") != "dumb")


def test_it_writes_a_file(ledger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    assert main(["report", "cart", "-o", "html", "--file", str(page)]) == 0
    assert page.read_text().startswith("<!DOCTYPE html>")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "was rolled back after 6 looks" in printed.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["checkout"], "'checkout' is in several places: live/checkout, test/checkout; add -e and --region"),
        (["chekout"], "has no rollout of chekout; did you mean checkout?"),
        (["test/checkout/1.1.0/9"], "has no rollout test/checkout/1.1.0/9; the latest there is test/checkout/1.2.0/1"),
        (["other/checkout/1.1.0/9"], "has no rollout of other/checkout/1.1.0/9"),
        (["a/b/c/d/e/f"], "names no rollout"),
        (["cart", "--ledger", "elsewhere"], "--ledger: there is no folder elsewhere"),
        (["cart", "--file", "no/such/folder/x"], "--file: no/such/folder/x cannot be written"),
        (["cart", "-o", "pdf"], "invalid choice: 'pdf'"),
    ],
)
def test_what_cannot_be_had(ledger: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", *words]) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.out == ""


def test_a_corrupt_ledger_names_the_line(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = ledger / "live/cart/eu/2.0-1.jsonl"
    path.write_text("{}\n" + path.read_text())
    assert main(["report", "cart", "-o", "html"]) == 1
    printed = capsys.readouterr()
    assert "2.0-1.jsonl:1: not a ledger entry" in printed.err
    assert printed.out == ""


def test_a_rollout_that_goes_on(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    book = Book("test/new/1.0/1")
    book.admit()
    asyncio.run(FileLedger(ledger).append("test/new", book.entries))
    assert main(["report", "new"]) == 0
    assert "is not over" in capsys.readouterr().out
