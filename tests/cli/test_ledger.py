"""``coalmine ledger verify``: what it prints, and how it exits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from activities.ledgers.sealing import KEY_VARIABLE, sealer_of
from coalmine.cli import main
from tests.activities.ledgers.books import lines, unchained, write

OTHER = "production/checkout/1.43.0/1"


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ledger of two rollouts, in the working directory; no Temporal anywhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    write(tmp_path / "ledger", 30)
    write(tmp_path / "ledger", 4, OTHER)
    return tmp_path / "ledger"


def test_a_ledger_that_is_as_it_was_written(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ledger", "verify"]) == 0
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("ledger: 34 records in 2 chains: as they were written (")
    assert "the heads are not signed: whoever may write here" in printed.err
    assert "--tips" in printed.err


def test_a_change_is_said_with_file_and_line(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = ledger / "production/checkout/1.42.0-1.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"sequence":21', b'"sequence":99'))
    assert main(["ledger", "verify", "--ledger", str(ledger)]) == 1
    printed = capsys.readouterr()
    assert printed.out == f"{path}:21: this line is not as it was written\n"
    assert "CHANGED; 1 findings" in printed.err
    assert main(["ledger", "verify", "-o", "json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["sound"], found["records"], found["chains"]) == (False, 34, 2)
    assert [(fault["kind"], fault["line"]) for fault in found["faults"]] == [("changed", 21)]


def test_tips_kept_elsewhere_find_a_tail_cut_with_its_heads(
    ledger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ledger", "verify", "-o", "json"]) == 0
    (tmp_path / "tips.json").write_text(capsys.readouterr().out)
    assert main(["ledger", "verify", "--tips", "tips.json"]) == 0
    assert "--tips" not in capsys.readouterr().err
    (ledger / f"{OTHER.rpartition('/')[0]}-1.jsonl").unlink()
    heads = ledger / "heads.jsonl"
    heads.write_bytes(b"".join(lines(heads)[:-1]))
    assert main(["ledger", "verify"]) == 0
    assert main(["ledger", "verify", "--tips", "tips.json"]) == 1
    assert "1.43.0-1.jsonl: the whole chain is missing, and its heads too" in capsys.readouterr().out


def test_signed_heads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    Path("key.pem").write_bytes(key)
    write(tmp_path / "ledger", 5, sealer=sealer_of({KEY_VARIABLE: "key.pem"}))
    assert main(["ledger", "verify"]) == 0
    assert "name the public key with --key" in capsys.readouterr().err
    assert main(["ledger", "verify", "--key", "key.pem", "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["heads"] == {"count": 1, "signed": 1, "unchecked": 0, "last_signed": True}
    assert [text[:15] for text in found["not_protected"]] == ["a tail that was"]


def test_who_appends_to_a_signed_ledger_needs_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    Path("key.pem").write_bytes(key)
    write(tmp_path / "ledger", 5, sealer=sealer_of({KEY_VARIABLE: "key.pem"}))
    wise, gone = ["insights", "checkout", "--write", "x"], ["ledger", "prune", "--older-than", "1d", "--yes"]
    for words in (wise, gone):
        assert main(words) == 2
        assert "COALMINE_LEDGER_KEY: not set, though the heads of ledger are signed" in capsys.readouterr().err
    monkeypatch.setenv(KEY_VARIABLE, "key.pem")
    assert main(wise) == 0
    write(tmp_path / "ledger", 4, OTHER, sealer=sealer_of({KEY_VARIABLE: "key.pem"}))
    assert main(gone) == 0
    assert "1 rollouts were dropped, 1 are younger" in capsys.readouterr().err
    assert main(["ledger", "verify", "--key", "key.pem"]) == 0


def test_older_records_are_said_to_be_unchained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    unchained(tmp_path / "ledger", 5)
    assert main(["ledger", "verify"]) == 0
    assert "5 records are unchained" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["verify", "--ledger", "none"], "--ledger: there is no folder none; name the one of the spec's ledger.path"),
        (["verify", "--tips", "none.json"], "--tips: none.json cannot be read (No such file or directory): name what"),
        (
            ["verify", "--tips", "empty.json"],
            "--tips: empty.json holds no tips: name what coalmine ledger verify -o json",
        ),
        (
            ["verify", "--tips", "deep.json"],
            "--tips: deep.json holds no tips: name what coalmine ledger verify -o json",
        ),
        (["verify", "--key", "none.pem"], "--key: 'none.pem' cannot be read (No such file or directory): name the PEM"),
        (["verifi"], "invalid choice: 'verifi'"),
    ],
)
def test_what_cannot_be_used(ledger: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty.json").write_text("{}")
    Path("deep.json").write_text(100_000 * "[")
    assert main(["ledger", *words]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("address", ["s3://", "s3:///prefix", "https://bucket", "gs://bucket"])
def test_an_address_that_is_none(ledger: Path, address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ledger", "verify", "--ledger", address]) == 2
    assert f"--ledger: '{address}' is neither a folder nor s3://BUCKET/PREFIX" in capsys.readouterr().err


def test_prune_lists_first_and_drops_when_told(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["ledger", "prune", "--older-than", "1d", "--by", "ana"]
    assert main(words) == 0
    printed = capsys.readouterr()
    assert "2 rollouts would be dropped, 0 are younger; --yes drops them" in printed.err
    assert "production/checkout/1.42.0/1  2026-03-01 12:00" in printed.out
    assert len(list(ledger.rglob("*-1.jsonl"))) == 2
    assert main([*words, "--yes", "-o", "json"]) == 0
    gone = json.loads(capsys.readouterr().out)
    assert (gone["dropped"], [one["records"] for one in gone["rollouts"]]) == (True, [30, 4])
    assert list(ledger.rglob("*-1.jsonl")) == []
    assert main(["ledger", "verify", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["pruned"] == 2


def test_prune_keeps_what_was_changed(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = ledger / "production/checkout/1.42.0-1.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"sequence":21', b'"sequence":99'))
    assert main(["ledger", "prune", "--older-than", "1d", "--yes"]) == 1
    assert (
        "kept, because it is not as it was written: ledger/production/checkout/1.42.0-1.jsonl"
        in capsys.readouterr().err
    )
    assert path.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["prune"], "--older-than is missing: say how old"),
        (["prune", "--older-than", "soon"], "'soon' is not a duration"),
        (["prune", "--older-than", "0d"], "'0d' must be longer than zero"),
        (["prune", "--older-than", "400d", "--tips", "x"], "--tips belongs to coalmine ledger verify"),
        (["verify", "--yes"], "--yes belongs to coalmine ledger prune"),
    ],
)
def test_prune_held_wrongly(ledger: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ledger", *words]) == 2
    assert said in capsys.readouterr().err


def test_prune_takes_years(ledger: Path) -> None:
    assert main(["ledger", "prune", "--older-than", "4000d"]) == 0
