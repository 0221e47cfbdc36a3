"""``coalmine ledger verify --key``: what was made anew without the key exits with 1, unless a person states it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from activities.ledgers.sealing import KEY_VARIABLE, Sealer, sealer_of
from coalmine.cli import main
from tests.activities.ledgers.books import lines, unchained, write

VERIFY = ["ledger", "verify", "--key", "key.pem"]


@pytest.fixture
def sealer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sealer:
    """Of the key in the working directory."""
    monkeypatch.chdir(tmp_path)
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    Path("key.pem").write_bytes(key)
    return sealer_of({KEY_VARIABLE: "key.pem"})


def option_in(text: str, option: str) -> list[str]:
    """What a finding says to say, as words."""
    return [option, text.rpartition(f"{option} ")[2].split()[0]]


def test_heads_and_chains_taken_off(sealer: Sealer, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(Path("ledger"), 30, sealer=sealer)
    assert main(VERIFY) == 0
    Path("ledger/heads.jsonl").unlink()
    kept = [json.loads(line) for line in lines(path)]
    for line in kept:
        del line["chain"]
    path.write_text("".join(json.dumps(line | {"reason": "all was well"}) + "\n" for line in kept))
    capsys.readouterr()
    assert main(VERIFY) == 1
    printed = capsys.readouterr()
    assert "ledger/heads.jsonl: no head is there, though a key was given" in printed.out
    assert f"{path}:1: 30 records from here on carry no chain, so the key vouches for none of them" in printed.out
    assert "CHANGED; 2 findings" in printed.err
    assert main([*VERIFY, "-o", "json"]) == 1
    assert json.loads(capsys.readouterr().out)["sound"] is False


def test_everything_deleted(sealer: Sealer, capsys: pytest.CaptureFixture[str]) -> None:
    write(Path("ledger"), 30, sealer=sealer)
    shutil.rmtree("ledger")
    Path("ledger").mkdir()
    assert main(VERIFY) == 1
    printed = capsys.readouterr()
    assert printed.out.startswith("ledger: the ledger is empty, though a key was given: everything was removed, or")
    assert "the ledger is empty\n" not in printed.err
    assert main([*VERIFY, "--allow-empty"]) == 0
    assert "ledger: the ledger is empty" in capsys.readouterr().err
    assert main(["ledger", "verify"]) == 0


def test_an_honest_ledger_from_before_key_and_chains(sealer: Sealer, capsys: pytest.CaptureFixture[str]) -> None:
    unchained(Path("ledger"), 5)
    write(Path("ledger"), 9)
    write(Path("ledger"), 12, sealer=sealer)
    assert main(VERIFY) == 1
    printed = capsys.readouterr().out
    words = [*VERIFY, *option_in(printed, "--signed-from"), *option_in(printed, "--unchained")]
    assert main(words) == 0
    assert "5 records are unchained: no key vouches for them, only --unchained" in capsys.readouterr().err
    prune = ["ledger", "prune", "--older-than", "1d", *words[2:]]
    assert main(prune) == 0
    assert "1 rollouts would be dropped" in capsys.readouterr().err
    assert main([*prune[:4], "--key", "key.pem"]) == 1
    assert "nothing is pruned" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            [*VERIFY, "--signed-from", "4"],
            "--signed-from: '4' is no number, colon and SHA-256 in 64 hex digits: ",
        ),
        ([*VERIFY, "--unchained", "0:" + "a" * 64], "--unchained: '0:aaa"),
        (["ledger", "verify", "--allow-empty"], "--allow-empty belongs to --key: without a key nothing has to be"),
        (["ledger", "verify", "--signed-from", "x"], "--signed-from belongs to --key"),
        (["ledger", "prune", "--key", "key.pem", "--allow-empty"], "--allow-empty belongs to coalmine ledger verify"),
    ],
)
def test_held_wrongly(sealer: Sealer, words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    write(Path("ledger"), 3, sealer=sealer)
    assert main(words) == 2
    assert said in capsys.readouterr().err
