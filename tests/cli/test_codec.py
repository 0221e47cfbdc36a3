"""``coalmine codec``: a key is made, and a server is only started where nobody else can read by it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from coalmine.cli import main
from coalmine.encryption import KEYS_VARIABLE, KeyRing


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (KEYS_VARIABLE, "COALMINE_CODEC_TOKEN", "TEMPORAL_ADDRESS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    assert main(["codec", "key"]) == 0
    path = tmp_path / "keys"
    path.write_text(capsys.readouterr().out)
    monkeypatch.setenv(KEYS_VARIABLE, str(path))
    return path


def test_a_key_that_was_made_is_one(keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(KeyRing.read(keys).keys) == 1
    assert main(["codec", "key", "-o", "json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["line"].startswith(made["name"] + " ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["key", "--origin", "http://localhost"], "--origin belongs to coalmine codec serve"),
        (["key", "--host", "x"], "--host belongs to coalmine codec serve"),
        (["serve", "--listen", "8081"], "--listen: '8081' is not HOST:PORT, such as 127.0.0.1:8081"),
        (["serve", "--listen", "127.0.0.1:x"], "is not HOST:PORT"),
        (["serve", "--listen", "127.0.0.1:65536"], "is not HOST:PORT"),
        (["serve", "--listen", "0.0.0.0:0"], "whoever reaches it reads every history: set COALMINE_CODEC_TOKEN"),
        (["serve", "--origin", "localhost:8233"], "--origin: 'localhost:8233' is not the address of a page"),
        (["serve", "--origin", "http://[x"], "is not the address of a page"),
        (["serve", "--listen", "192.0.2.1:0", "--origin", "http://localhost"], "COALMINE_CODEC_TOKEN"),
    ],
)
@pytest.mark.usefixtures("keys")
def test_what_cannot_be_is_refused_in_a_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["codec", *words]) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert printed.out == ""


def test_a_server_needs_keys(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["codec", "serve"]) == 2
    assert "COALMINE_PAYLOAD_KEYS: not set" in capsys.readouterr().err


def test_no_verb_goes_on_with_keys_that_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Or what is secret would be sent in clear."""
    monkeypatch.setenv(KEYS_VARIABLE, "nowhere")
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    assert main(["list"]) == 2
    assert "COALMINE_PAYLOAD_KEYS: nowhere cannot be read" in capsys.readouterr().err
