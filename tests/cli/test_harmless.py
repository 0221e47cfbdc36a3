"""What people say is shown on a terminal, and never obeyed by it."""

from __future__ import annotations

import asyncio
import io
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from activities.ledgers.file import FileLedger
from coalmine.cli import main
from coalmine.cli._page import draw
from coalmine.harmless import harmless
from coalmine.records import LedgerEntry, Phase, RolloutStatus
from tests.activities.ledgers.books import BOOK, NOON, ROLLOUT

FORGED = "no\x1b[2K\x1b[1A\rok, by bo \u202egnorts\x9b2J"
SHOWN = r"no\x1b[2K\x1b[1A\rok, by bo \u202egnorts\x9b2J"


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    entry = LedgerEntry(kind="command", rollout_id=ROLLOUT, sequence=1, at=NOON, reason=FORGED, by=FORGED)
    asyncio.run(FileLedger(tmp_path).append(BOOK, [entry]))
    return tmp_path


def test_lines_tabs_and_letters_stay() -> None:
    plain = "José\t日本語 👩‍💻\n▁▂▃ 95 % (±2)"
    assert harmless(plain) == plain


@pytest.mark.parametrize("words", [["decisions", ROLLOUT], ["report", ROLLOUT, "-o", "text"], ["report", ROLLOUT]])
def test_no_reason_rewrites_the_lines_of_an_audit(
    ledger: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--ledger", str(ledger)]) == 0
    printed = capsys.readouterr().out
    assert harmless(printed) == printed
    assert r"\x1b" in printed


def test_programs_read_what_was_said(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decisions", ROLLOUT, "--ledger", str(ledger), "-o", "json"]) == 0
    printed = capsys.readouterr().out
    assert harmless(printed) == printed
    assert json.loads(printed)["entries"][0]["reason"] == FORGED


def test_no_name_of_a_file_hides_a_finding(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (chain,) = ledger.glob("*/**/1*.jsonl")
    chain.rename(chain.with_name("a\x1b[2K\r.jsonl"))
    assert main(["ledger", "verify", "--ledger", str(ledger)]) == 1
    assert r"a\x1b[2K\r.jsonl: this is the chain of" in capsys.readouterr().out


def test_nor_on_the_live_page() -> None:
    status = RolloutStatus(
        workflow_id="canary/test/checkout",
        rollout_id=ROLLOUT,
        service="checkout",
        environment="test",
        phase=Phase.HELD,
        held_reason=FORGED,
        reason=FORGED,
    )
    drawn = io.StringIO()
    Console(file=drawn, width=200, color_system=None).print(draw(status, datetime.now(UTC), None))
    assert SHOWN in drawn.getvalue()
    assert "\x1b" not in drawn.getvalue()
