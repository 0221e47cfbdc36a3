"""``coalmine keys``: made for one pair of eyes, never over another, and good for the worker."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from coalmine.cli import main
from coalmine.identity.keys import read_jwks


def test_a_key_is_private_and_its_public_half_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "ana.key"
    assert main(["keys", "create", str(file), "--person", "ana", "--group", "sre"]) == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    private = json.loads(file.read_text())["d"]
    assert private not in capsys.readouterr().out
    assert main(["keys", "jwks", str(file), "-o", "json"]) == 0
    printed = capsys.readouterr().out
    assert private not in printed
    [key] = read_jwks(printed, "printed").values()
    assert (key.person, key.groups, key.algorithm) == ("ana", ("sre",), "EdDSA")
    kept = file.read_text()
    assert main(["keys", "create", str(file), "--person", "bo"]) == 2
    assert "File exists" in capsys.readouterr().err
    assert file.read_text() == kept


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["keys", "create", "x"], "needs one FILE and --person"),
        (["keys", "jwks", "/nowhere/x"], "signing key /nowhere/x cannot be read"),
        (["keys", "jwks", "/nowhere/x", "--person", "ana"], "belong to coalmine keys create"),
        (["keys", "jwks", "/nowhere/x", "--service", "chat"], "belong to coalmine keys create"),
        (["keys", "create", "x", "--service", "chat", "--person", "ana"], "has no --person"),
        (["keys", "create", "x", "--service", "chat", "--may", "aprove"], "coalmine_verbs is ['aprove']"),
        (["keys", "create", "x", "--service", "chat", "--may", "break_glass"], "without 'approve'"),
        (["keys", "create", "x", "--person", "ana", "--may", "approve"], "--may belongs to"),
        (["keys", "create", "x", "--service", " "], "--service NAME needs one FILE"),
        (["approve", "checkout", "--sign-with", "/nowhere/x"], "signing key /nowhere/x cannot be read"),
    ],
)
def test_what_cannot_be_is_said(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert said in capsys.readouterr().err
