"""``coalmine backtest``: files in, decisions out."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import os
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from activities.ledgers.file import FileLedger
from coalmine.cli import main
from coalmine.records import LedgerEntry
from tests.backtest.test_past import ID, STORY, entry, look
from tests.backtest.traces import START, draw, line, ratio

SPEC = """\
metrics:
  - {name: errors, kind: ratio}
  - {name: latency, kind: latency}
policy: {look: 10s, no_history: roll_back}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(7)
    (tmp_path / "spec.yaml").write_text(SPEC)
    (tmp_path / "good.jsonl").write_text("\n".join(draw(rng, 12)) + "\n")
    (tmp_path / "bad.jsonl").write_text("\n".join(draw(rng, 12, canary=lambda look: 0.1)) + "\n")
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(["backtest", *words])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_one_array_in_the_order_of_the_arguments(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "more.txt").write_text("good.jsonl\n\n./bad.jsonl\n")
    words = ("spec.yaml", "bad.jsonl", "good.jsonl", "bad.jsonl", "--traces-from", "more.txt", "-o", "json")
    code, out, err = run(capsys, *words)
    assert code == 0
    told = json.loads(out)
    assert [one["trace"] for one in told] == ["bad.jsonl", "good.jsonl", "bad.jsonl", "good.jsonl", "./bad.jsonl"]
    assert [one["decision"] for one in told] == ["roll_back", "hold", "roll_back", "hold", "roll_back"]
    assert told[0]["look"] == told[2]["look"] <= 2
    assert told[1]["look"] is None
    assert told[0]["metrics"]["errors"]["verdict"] == "fail"
    assert told[0]["metrics"] == told[4]["metrics"]
    assert err == "5 traces: 3 rolled back, 2 held, 0 promoted (2 of the held only ended undecided)\n"
    assert run(capsys, *words)[1] == out


def test_the_order_of_metrics_in_the_spec_changes_no_byte(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, errors, latency, policy = SPEC.splitlines()
    (folder / "other.yaml").write_text("\n".join([policy, first, latency, errors]))
    told = [
        run(capsys, spec, "bad.jsonl", "good.jsonl", "--all-looks", "-ojson")[1] for spec in ("spec.yaml", "other.yaml")
    ]
    assert told[0] == told[1]
    assert [len(one["looks"]) for one in json.loads(told[0])] == [12, 12]


def test_a_table_for_people(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "spec.yaml", "good.jsonl", "bad.jsonl")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].split() == ["trace", "decision", "look", "at", "canary", "requests", "why"]
    assert any(row.startswith("good.jsonl  hold") and "inconclusive: no harm is not shown" in row for row in lines)
    assert any(row.startswith("bad.jsonl   roll back") and "harm: errors" in row for row in lines)
    _, out, _ = run(capsys, "spec.yaml", "good.jsonl", "--all-looks")
    assert out.count("neither harm nor no harm is shown yet") == 12


def test_history_makes_one_window_enough(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(8)
    (folder / "aa.jsonl").write_text("\n".join(draw(rng, 70)))
    (folder / "short.jsonl").write_text("\n".join(draw(rng, 20)))
    cold = json.loads(run(capsys, "spec.yaml", "bad.jsonl", "-o", "json")[1])
    _, out, err = run(capsys, "spec.yaml", "bad.jsonl", "--history", "short.jsonl", "-o", "json")
    assert json.loads(out) == cold
    assert "short.jsonl: 20 usable looks are no history yet (60 are)" in err
    code, out, err = run(capsys, "spec.yaml", "bad.jsonl", "--history", "aa.jsonl", "-o", "json")
    assert code == 0
    assert json.loads(out)[0]["look"] <= cold[0]["look"]
    assert "margin x1.1" in json.loads(out)[0]["metrics"]["errors"]["reason"]
    assert "margin x1.20" in cold[0]["metrics"]["errors"]["reason"]


def test_stdin_and_a_look_of_another_length(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "half.yaml").write_text(SPEC.replace("10s", "30s"))
    monkeypatch.setattr(sys, "stdin", io.StringIO((folder / "bad.jsonl").read_text()))
    code, out, err = run(capsys, "half.yaml", "-", "-o", "json")
    assert code == 0
    assert json.loads(out)[0]["trace"] == "-"
    assert "looks of 1 of 1 traces are not about 30s long: set policy.look as recorded" in err


def test_steps_of_the_spec_are_the_plan(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "steps.yaml").write_text(SPEC + "steps: [{weight: 10, for: 20s}]\n")
    plain = json.loads(run(capsys, "spec.yaml", "good.jsonl", "--all-looks", "-o", "json")[1])[0]
    planned = json.loads(run(capsys, "steps.yaml", "good.jsonl", "--all-looks", "-o", "json")[1])[0]
    assert planned["looks"][0]["log_e_harm"] == plain["looks"][0]["log_e_harm"]
    assert planned["looks"][-1]["log_e_harm"] != plain["looks"][-1]["log_e_harm"]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (SPEC.replace("metrics:", "metrics_:"), "spec.yaml:1:1: metrics_: unknown key 'metrics_': did you mean"),
        (SPEC + "polcy: {}\n", "spec.yaml:5:1: polcy: unknown key 'polcy'"),
        (SPEC.replace("kind: ratio", "kind: valeu"), "metrics[0].kind: 'valeu' is not"),
        (SPEC.replace("name: latency", "name: errors"), "metrics[1].name: 'errors' is there already"),
        (SPEC.replace("ratio}", "ratio, role: signal}").replace("latency}", "latency, role: signal}"),
         "no metric is a guardrail"),
        (SPEC + "steps: [{weight: 10, for: 5s}]\n", "5s is shorter than one look"),
        ("policy: {look: 10s}\n", "metrics: is missing"),
    ],
)  # fmt: skip
def test_a_wrong_spec_is_told_at_its_place(
    spec: str, said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "spec.yaml").write_text(spec)
    code, out, err = run(capsys, "spec.yaml", "good.jsonl")
    assert code == 2
    assert said in err
    assert out == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["spec.yaml"], "no trace is named: give TRACE, --traces-from FILE or --from-ledger ID"),
        (["spec.yaml", "none.jsonl"], "none.jsonl: there is no such file"),
        (["spec.yaml", "."], ". is a folder"),
        (["spec.yaml", "--traces-from", "none.txt"], "none.txt: there is no such file"),
        (["spec.yaml", "good.jsonl", "--history", "none.jsonl"], "none.jsonl: there is no such file"),
        (
            ["spec.yaml", "good.jsonl", "broken.jsonl"],
            "broken.jsonl:2: observations.errors.canary.events: 9 events",
        ),
        (["spec.yaml", "good.jsonl", "--history", "broken.jsonl"], "broken.jsonl:2: observations.errors"),
        (["spec.yaml", "latin.jsonl"], "latin.jsonl:1: not UTF-8 text (byte 1 of the line is 0xff)"),
        (["spec.yaml", "wide.jsonl"], "(byte 1 of the line is 0xff): it begins as UTF-16 does; save it as UTF-8"),
        (["spec.yaml", "good.jsonl.gz"], "(byte 2 of the line is 0x8b): it begins as gzip does; unpack it (gunzip)"),
        (["spec.yaml", "late.jsonl"], "late.jsonl:2: not UTF-8 text (byte 4 of the line is 0xe9)"),
        (["-", "-"], "'-' can be one of spec, traces and history only"),
        (["spec.yaml", "--traces-from", "-", "-"], "'-' can be one of spec, traces and history only"),
        (["spec.yaml", "good.jsonl", "--history", ""], "'' names no file"),
        (["spec.yaml", ""], "'' names no file"),
        (["spec.yaml", "--traces-from", ""], "'' names no file"),
        (["spec.yaml", "--traces-from", "odd.txt"], r"'no\x00file' names no file"),
        (["spec.yaml", "a\nb\x1b[31m.jsonl"], r"a b\x1b[31m.jsonl: there is no such file"),
        (["spec.yaml", "good.jsonl", "--from-ledger", ID], "--from-ledger judges one rollout: leave the traces out"),
        (["spec.yaml", "--from-ledger", "checkout"], "'checkout' is no rollout id"),
        (["spec.yaml", "--from-ledger", ID], f"{ID}: the ledger does not know it"),
        (["spec.yaml", "good.jsonl", "--al-looks"], "unknown option --al-looks; did you mean --all-looks?"),
    ],
)
def test_wrong_use_is_one_line(words: list[str], said: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = line(0, {"errors": {"canary": ratio(0, 1), "baseline": ratio(0, 9)}})
    bad = line(1, {"errors": {"canary": ratio(9, 1), "baseline": ratio(0, 9)}})
    (folder / "broken.jsonl").write_text(f"{good}\n{bad}\n")
    (folder / "latin.jsonl").write_bytes(b"\xff\n")
    (folder / "wide.jsonl").write_bytes('{"at": 1}'.encode("utf-16"))
    (folder / "good.jsonl.gz").write_bytes(gzip.compress(good.encode()))
    (folder / "late.jsonl").write_bytes(b'{}\n{"a\xe9"}\n')
    (folder / "odd.txt").write_text("no\0file\n")
    code, out, err = run(capsys, *words)
    assert code == 2
    assert said in err
    assert err.count("\n") == 1
    assert out == ""


def test_files_may_begin_with_a_byte_order_mark(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = run(capsys, "spec.yaml", "good.jsonl", "-o", "json")
    for name in ("spec.yaml", "good.jsonl", "list.txt"):
        text = "good.jsonl\n" if name == "list.txt" else (folder / name).read_text()
        (folder / name).write_text(text, encoding="utf-8-sig")
    assert run(capsys, "spec.yaml", "--traces-from", "list.txt", "-o", "json") == told


def test_a_path_that_is_no_text_is_told_in_json(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    odd = os.fsdecode(b"\xff.jsonl")
    (folder / "good.jsonl").rename(folder / odd)
    for words in ((odd, "-o", "json"), (odd,)):
        assert main(["backtest", "spec.yaml", *words]) == 0
        assert r"\udcff.jsonl" in capfd.readouterr().out


def remember(entries: list[LedgerEntry]) -> None:
    asyncio.run(FileLedger(Path("ledger")).append("production/checkout", entries))


def test_a_past_rollout_is_judged_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    remember(STORY)
    code, out, err = run(capsys, "spec.yaml", "--from-ledger", ID, "-o", "json")
    assert code == 0
    told = json.loads(out)
    assert [(one["trace"], one["decision"], one["look"]) for one in told] == [(ID, "roll_back", 4)]
    assert told[0]["canary_requests"] == {"errors": 1600, "latency": 1600}
    lines = err.splitlines()
    assert lines[0] == "counted then and not judged now: cpu"
    assert lines[1] == "then: roll back at look 5: roll_back!"
    assert lines[2] == "now: 1 look (10 s) earlier, 400 canary requests fewer"


def test_a_past_rollout_is_judged_with_what_was_known_then(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "production/checkout/1.41.0/1"
    before = -3600.0
    looks = [look(at + 1, before + 10 * at, canary=1, rollout=name) for at in range(70)]
    remember([*looks, entry("closed", 99, before + 800, name, outcome="promoted")])
    remember(STORY)
    code, out, err = run(capsys, "spec.yaml", "--from-ledger", ID, "-o", "json")
    assert code == 0, err
    assert "margin x1.1" in json.loads(out)[0]["metrics"]["errors"]["reason"]
    (folder / "short.jsonl").write_text("\n".join(draw(np.random.default_rng(1), 3)))
    _, out, _ = run(capsys, "spec.yaml", "--from-ledger", ID, "--history", "short.jsonl", "-o", "json")
    assert "margin x1.20" in json.loads(out)[0]["metrics"]["errors"]["reason"]
    assert START + timedelta(seconds=before) < STORY[0].at


@pytest.mark.parametrize(("stored", "margin"), [(-1800, "margin x1.1"), (3600, "margin x1.20")])
def test_a_stored_period_counts_if_it_was_there_when_the_rollout_began(
    stored: float, margin: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    remember(STORY)
    name = "production/checkout/1.41.0/split-instance-x"
    since = (START + timedelta(seconds=stored)).isoformat()
    looks = [look(at + 1, -3600.0 + 10 * at, canary=1, rollout=name) for at in range(70)]
    looks = [one.model_copy(update={"data": {**one.data, "stored": since}}) for one in looks]
    asyncio.run(FileLedger(Path("ledger")).store_split("production/checkout", "1.41.0-instance-x", looks))
    code, out, err = run(capsys, "spec.yaml", "--from-ledger", ID, "-o", "json")
    assert code == 0, err
    assert f"{margin})" in json.loads(out)[0]["metrics"]["errors"]["reason"].replace("x1.10)", "x1.1)")


def test_stdin_that_is_no_text_is_told_by_line_and_byte(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python's own reader lets such bytes in, as lone surrogates."""
    text = io.TextIOWrapper(io.BytesIO(b'{}\n{"\xff"}\n'), encoding="utf-8", errors="surrogateescape")
    monkeypatch.setattr(sys, "stdin", text)
    code, _, err = run(capsys, "spec.yaml", "-")
    assert code == 2
    assert "-:2: not UTF-8 text (byte 3 of the line is 0xff)" in err
