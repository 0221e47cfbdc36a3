"""``coalmine insights``: figures by hand-made rollouts whose answers are known, and what people write down."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from activities.ledgers.file import FileLedger
from activities.ledgers.insights import FIRST_INSIGHT
from coalmine.cli import main
from coalmine.records import LedgerEntry
from tests.activities.ledgers.books import verified

NOW = datetime.now(UTC)
SHOP, CART = "production/checkout", "production/cart/eu"


class Told:
    """One rollout, told entry by entry."""

    def __init__(self, rollout_id: str, days_ago: float = 3) -> None:
        self.rollout_id = rollout_id
        self.began = NOW - timedelta(days=days_ago)
        self.entries: list[LedgerEntry] = []

    def note(self, kind: str, after: float = 0, by: str = "", **data: Any) -> Told:
        """An entry so many seconds after the beginning."""
        self.entries.append(
            LedgerEntry(
                kind=kind,
                rollout_id=self.rollout_id,
                sequence=len(self.entries) + 1,
                at=self.began + timedelta(seconds=after),
                reason=f"{kind} of {self.rollout_id}",
                by=by,
                data=data,
            )
        )
        return self

    def promoted(self, after: float) -> Told:
        return self.note("promoted", after).note("closed", after + 60, outcome="promoted", looks=30)

    def rolled_back(self, after: float, cause: str = "analysis", restore: float = 4.0) -> Told:
        self.note("roll_back", after)
        ended: dict[str, Any] = {"outcome": "rolled_back", "cause": cause, "seconds_to_restore": restore}
        return self.note("closed", after + restore, looks=9, **ended)

    def write(self) -> None:
        book = self.rollout_id.rsplit("/", 2)[0]
        asyncio.run(FileLedger(Path("ledger")).append(book, self.entries))


def begun(rollout_id: str, days_ago: float = 3, **data: Any) -> Told:
    return Told(rollout_id, days_ago).note("admitted", **data).note("look", 10)


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COALMINE_BY", "ana@example.org")
    monkeypatch.delenv("COALMINE_ENVIRONMENT", raising=False)
    # Of checkout: three promoted (one past the judge), three rolled back by it, one of them a good release.
    begun(f"{SHOP}/1.0/1", 20).promoted(600).write()
    begun(f"{SHOP}/1.1/1", 15).rolled_back(100, restore=2.0).write()
    begun(f"{SHOP}/1.1/2", 14).note("override", 50, by="bo").promoted(1200).write()
    begun(f"{SHOP}/1.2/1", 12).rolled_back(100, restore=8.0).write()
    begun(f"{SHOP}/1.3/1", 10).rolled_back(100, restore=3.0).write()
    (
        begun(f"{SHOP}/1.4/1", 8)
        .note("gate", 100, gate="go")
        .note("advance", 1900)
        .note("hold", 2000, finding="signal")
        .note("command", 2100, by="bo", verb="resume")
        .promoted(3000)
        .write()
    )
    # None of these is a deployment: before its time, blocked, advised, still open.
    begun(f"{SHOP}/0.9/1", 200).promoted(600).write()
    Told(f"{SHOP}/1.5/1", 5).note("closed", 1, outcome="blocked", looks=0).write()
    begun(f"{SHOP}/1.6/1", 4, advise=True).note("closed", 100, outcome=None, advice="promote", looks=5).write()
    begun(f"{SHOP}/1.7/1", 1).write()
    # Of cart: one in its rollback window, one that a person took back.
    begun(f"{CART}/2.0/1", 2).note("promoted", 300).write()
    begun(f"{CART}/2.1/1", 1).rolled_back(100, cause="human").write()
    return tmp_path / "ledger"


def told(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert main(["insights", *words, "-o", "json"]) == 0
    return json.loads(capsys.readouterr().out)


def rate(part: int, whole: int) -> dict[str, Any]:
    return {"part": part, "whole": whole, "rate": part / whole if whole else None}


def test_the_figures_of_all(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys)
    total = found["total"]
    assert (total["promoted"], total["failed"], total["blocked"]) == (4, 4, 1)
    assert total["deployments_a_week"] == pytest.approx(4 / (90 / 7), rel=1e-3)
    assert total["lead_median"] == pytest.approx((600 + 1200) / 2)
    assert total["change_failure"] == rate(4, 8)
    assert (total["restore_median"], total["restore_longest"]) == (3.5, 8.0)
    assert total["false_rollbacks"] == rate(1, 3), "1.1 was promoted later; a person's rollback is none of the judge's"
    assert total["overrides"] == rate(1, 8)
    assert (total["held"], total["resumed_and_promoted"]) == (1, 1)


def test_what_ended_before_a_reset_that_came_too_late_stands(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = told(capsys)["total"]
    begun(f"{CART}/3.0/1", 2).promoted(600).note("closed", 900, outcome="blocked", cause="error", looks=0).write()
    begun(f"{CART}/3.1/1", 2).rolled_back(100).note("closed", 900, outcome="blocked", looks=0).write()
    total = told(capsys)["total"]
    after = {name: total[name] - before[name] for name in ("promoted", "failed", "blocked")}
    assert after == {"promoted": 1, "failed": 1, "blocked": 0}
    assert total["false_rollbacks"]["whole"] == before["false_rollbacks"]["whole"] + 1


def test_services_and_gates(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys)
    services = {(one["service"], one["region"]): one for one in found["services"]}
    assert services["checkout", ""]["promoted"] == 3
    assert services["cart", "eu"]["change_failure"] == rate(1, 2)
    (gate,) = found["gates"]
    assert (gate["service"], gate["gate"], gate["times"], gate["median"]) == ("checkout", "go", 1, 1800.0)


def test_one_service_or_place(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, "cart")["total"]["promoted"] == 1
    assert told(capsys, "production/checkout")["total"]["promoted"] == 3
    assert told(capsys, "--region", "eu")["total"]["failed"] == 1
    assert told(capsys, "-e", "staging")["total"]["promoted"] == 0


def test_how_far_back(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, "--since", "1000d")["total"]["promoted"] == 5
    assert told(capsys, "--since", "9d")["total"]["promoted"] == 2


def test_what_people_say_decides_whether_a_rollback_was_false(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["insights", f"{SHOP}/1.2/1", "--write", "a cold cache, nothing else", "--was", "false-alarm"]) == 0
    assert f"kept in the record of {SHOP}/1.2/1, by ana@example.org" in capsys.readouterr().err
    assert told(capsys)["total"]["false_rollbacks"] == rate(2, 3)
    assert main(["insights", f"{SHOP}/1.1/1", "--write", "it leaked; the flag was off later", "--was", "right"]) == 0
    capsys.readouterr()
    found = told(capsys)
    assert found["total"]["false_rollbacks"] == rate(1, 3)
    assert found["total"]["called_right"] == 1
    assert [(one["rollout_id"], one["by"], one["was"]) for one in found["lessons"]] == [
        (f"{SHOP}/1.1/1", "ana@example.org", "right"),
        (f"{SHOP}/1.2/1", "ana@example.org", "false-alarm"),
    ]
    assert [one["rollout_id"] for one in found["untold"]] == [f"{CART}/2.1/1", f"{SHOP}/1.3/1"]


def test_a_written_insight_is_part_of_the_chain(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("first", "second"):
        assert main(["insights", f"{SHOP}/1.2/1", "--write", text, "--by", "bo", "-o", "json"]) == 0
    capsys.readouterr()
    entries = asyncio.run(FileLedger(ledger).rollout(SHOP, f"{SHOP}/1.2/1"))
    assert [(one.sequence, one.reason, one.by) for one in entries if one.kind == "insight"] == [
        (FIRST_INSIGHT, "first", "bo"),
        (FIRST_INSIGHT + 1, "second", "bo"),
    ]
    assert not verified(ledger).faults
    assert main(["insights", "checkout", "--write", "of its latest"]) == 0
    assert f"{SHOP}/1.7/1" in capsys.readouterr().err, "what people wrote of an old one makes it no latest"


def test_a_page_for_people(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["insights", f"{SHOP}/1.2/1", "--write", "a cold\ncache"]) == 0
    capsys.readouterr()
    assert main(["insights"]) == 0
    printed = capsys.readouterr()
    assert "change failure   50 % (4 of 8)" in printed.out
    assert "lead time        median 15m" in printed.out
    assert "production/cart/eu" in printed.out
    assert "a cold cache" in printed.out
    assert "3 failed releases taught nothing yet: coalmine insights production/cart/eu/2.1/1 --write" in printed.err


def test_an_empty_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ledger").mkdir()
    assert told(capsys)["total"]["change_failure"] == rate(0, 0)
    assert main(["insights"]) == 0
    assert "no rollout ended since" in capsys.readouterr().err


def test_a_torn_line_is_left_out_and_a_broken_one_is_named(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = ledger / "production/checkout/1.0-1.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"kind":"clo')
    assert told(capsys)["total"]["promoted"] == 4
    path.write_bytes(b"oops\n" + whole)
    assert main(["insights"]) == 1
    told_of_it = capsys.readouterr().err
    assert "1.0-1.jsonl:1: not a ledger entry (Invalid JSON" in told_of_it
    assert "mend or remove the line" in told_of_it


def test_the_question_in_the_docs_can_be_asked(ledger: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/insights.md").read_text()
    question = re.search(r"```sql\n(.*?)```", page, re.DOTALL)
    assert question is not None
    answers = duckdb.connect(":memory:").execute(question[1]).fetchall()
    assert {(outcome, times) for _, outcome, times in answers} >= {("promoted", 4), ("rolled_back", 4)}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--write", "x"], "--write: say of which rollout, such as production/checkout/1.42.0/3 or its service"),
        (["checkout", "--write", " "], "--write is empty: say what the release taught"),
        (["checkout", "--write", "x" * 4001], "--write has 4,001 characters; at most 4,000"),
        (["checkout", "--was", "right"], "--was belongs to --write TEXT"),
        (["checkout", "--write", "x", "--was", "wrong"], "invalid choice: 'wrong'"),
        ([f"{SHOP}/1.0/1"], "is one rollout: insights tell of many; coalmine report tells of one"),
        (["--since", "soon"], "'soon' is not a duration"),
        ([f"{SHOP}/9.9/1", "--write", "x"], f"has no rollout {SHOP}/9.9/1"),
    ],
)
def test_what_cannot_be_used(ledger: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["insights", *words]) == 2
    assert said in capsys.readouterr().err


def test_the_extra_is_not_installed(
    ledger: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    assert main(["insights"]) == 2
    assert "coalmine insights needs the extra 'insights': pip install 'coalmine[insights]'" in capsys.readouterr().err
    assert main(["insights", "checkout", "--write", "needs none"]) == 0
