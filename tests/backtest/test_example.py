"""The example of docs/backtest.md says what the page says it does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from coalmine.cli import main

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "backtest.md").read_text()
RELEASES = ("good.jsonl", "leak.jsonl", "slow.jsonl")


@pytest.mark.parametrize(("table", "options"), [(0, []), (1, ["--history", "quiet.jsonl"])])
def test_the_tables(
    table: int, options: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT / "examples" / "backtest")
    assert main(["backtest", "spec.yaml", *RELEASES, *options, "-o", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    rows = re.findall(r"^\| `(\w+\.jsonl)` \| ([a-z ]+) \| (\d+) \| ([\d,]+) \|$", PAGE, re.MULTILINE)
    shown = [
        (one["trace"], one["decision"].replace("_", " "), str(one["look"]), f"{one['canary_requests']['errors']:,}")
        for one in told
    ]
    assert shown == rows[3 * table : 3 * table + 3]


def test_the_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT / "examples" / "backtest")
    assert main(["backtest", "spec.yaml", "leak.jsonl", "--history", "quiet.jsonl", "-o", "json"]) == 0
    block = re.search(r"^```json\n(\[\n.*?\n\])\n```", PAGE, re.MULTILINE | re.DOTALL)
    assert block is not None
    assert capsys.readouterr().out == block[1] + "\n"
