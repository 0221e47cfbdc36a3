"""Who speaks, when nobody says so."""

from __future__ import annotations

import pwd
import subprocess
from pathlib import Path

import pytest

from coalmine.cli import main
from coalmine.cli._who import automated, speaker
from coalmine.errors import InputError


@pytest.fixture
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("COALMINE_BY", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    # The folder may lie in a clone that has an address of its own.
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    return tmp_path


def test_the_order(nobody: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "ana")
    monkeypatch.setenv("LOGNAME", "ana")
    assert speaker(None).startswith("ana@")
    subprocess.run(["git", "config", "--global", "user.email", "ana@git.example"], check=True)
    assert speaker(None) == "ana@git.example"
    monkeypatch.setenv("COALMINE_BY", "ana@env.example")
    assert speaker(None) == "ana@env.example"
    assert speaker(" bo ") == "bo"
    with pytest.raises(InputError, match="--by is empty"):
        speaker("")


def test_a_user_without_a_name_is_asked_for_one(
    nobody: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nameless(uid: int) -> None:
        raise KeyError("getpwuid(): uid not found")

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nameless)
    assert main(["rollback", "checkout"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: who says so is not known: user ")
    assert "set COALMINE_BY, or say who you are, such as --by ana@example.org" in told
    assert speaker("ci") == "ci"
    monkeypatch.setenv("USER", "ana")
    assert speaker(None).startswith("ana@")


@pytest.mark.parametrize(
    ("ci", "given", "answer"),
    [
        (None, None, False),
        ("true", None, True),
        ("1", None, True),
        ("false", None, False),
        ("true", False, False),
        (None, True, True),
    ],
)
def test_automation(
    nobody: Path, monkeypatch: pytest.MonkeyPatch, ci: str | None, given: bool | None, answer: bool
) -> None:
    if ci is not None:
        monkeypatch.setenv("CI", ci)
    assert automated(given) is answer
