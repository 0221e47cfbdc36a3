"""What the command line says when it is held wrongly, and its help."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from coalmine import __version__
from coalmine.cli import main
from coalmine.cli._verbs import VERBS


def test_help_lists_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    for verb in VERBS.values():
        assert f"  {verb.name:<10} {verb.line}" in printed


def test_without_a_verb_it_shows_help_and_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage: coalmine VERB" in capsys.readouterr().out


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_and_a_form(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    printed = capsys.readouterr().out
    assert f"usage: coalmine {verb} " in printed
    assert "-o FORM, --output FORM" in printed
    assert "json" in printed


def test_help_of_a_verb_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "start"]) == 0
    assert "usage: coalmine start" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"coalmine {__version__}\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["aprove"], "unknown verb 'aprove'; did you mean approve?"),
        (["statsu", "checkout"], "unknown verb 'statsu'; did you mean status?"),
        (["xyzzy"], "unknown verb 'xyzzy' (coalmine --help lists verbs)"),
        (["--by", "ana"], "unknown option --by: options stand after the verb"),
        (["approve", "checkout", "--raeson", "ok"], "unknown option --raeson; did you mean --reason?"),
        (["approve"], "the following arguments are required: ROLLOUT"),
        (["approve", "checkout", "ok"], "'ok' is one word too many"),
        (["status", "checkout", "-o", "yaml"], "invalid choice: 'yaml'"),
        (["extend", "checkout", "--for", "soon"], "'soon' is not a duration"),
        (["extend", "checkout", "--for", "0s"], "'0s' must be longer than zero"),
        (["approve", "checkout", "--attempt", "0"], "'0' is not a number from 1 on"),
        (["approve", "checkout", "--attempt", "²"], "'²' is not a number from 1 on"),
        (["approve", "checkout", "--attempt", "9" * 5_000], "is not a number from 1 on"),
        (["list", "--limit", "²"], "'²' is not a number from 1 to 10000"),
        (["list", "--limit", "none"], "'none' is not a number from 1 to 10000"),
        (["list", "--open", "--closed"], "not allowed with argument"),
        (["load", "http://127.0.0.1:1/", "--rate", "-3"], "'-3' is not a number above zero"),
        (["load", "http://127.0.0.1:1/", "-H", "nonsense"], "write 'Name: value'"),
        (["load", "ftp://somewhere/"], "is no http(s) URL"),
        (["ban", "checkout", "-e", "test"], "say which service and version"),
        (["ban", "checkout", "1.1.0"], "the following arguments are required: -e/--environment"),
        (["ban", "--list", "checkout", "1.1.0", "-e", "test"], "leave the version out"),
        (["promote", "checkout"], "say why with --reason"),
        (["approve", "checkout", "--by", " "], "--by is empty"),
        (["start", "nowhere.yaml"], "nowhere.yaml: there is no such file"),
        (["start", "."], ". is a folder"),
        (["plan", "nowhere.yaml"], "there is no such file"),
    ],
)
def test_wrong_use_exits_2_with_one_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""


def test_timeout_without_watch_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["start", "spec.yaml", "--timeout", "5m"]) == 2
    assert "add --watch" in capsys.readouterr().err


@pytest.mark.parametrize("form", [["-o", "json"], ["-ojson"], ["--output=json"], ["--output", "json"]])
def test_programs_get_the_error_as_an_object(form: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["start", "nowhere.yaml", *form]) == 2
    printed = capsys.readouterr()
    told = json.loads(printed.out)
    assert told["error"]["type"] == "InputError"
    assert "no such file" in told["error"]["message"]
    assert (told["outcome"], told["cause"], told["exit"]) == (None, None, 2)
    assert "no such file" in printed.err


def test_no_server_is_said_plainly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["list", "-o", "json"]) == 1
    printed = capsys.readouterr()
    assert "set TEMPORAL_ADDRESS" in printed.err
    assert "coalmine up" in printed.err
    assert json.loads(printed.out)["error"] == {
        "type": "TemporalUnavailable",
        "message": printed.err.removeprefix("error: ").strip(),
        "retryable": True,
    }


def test_what_was_not_expected_is_one_line_and_a_hint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("coalmine.cli.schema.run", lambda args, out: 1 / 0)
    assert main(["schema"]) == 1
    assert capsys.readouterr().err == (
        "internal error: ZeroDivisionError: division by zero (COALMINE_DEBUG=1 shows where)\n"
    )
    monkeypatch.setenv("COALMINE_DEBUG", "1")
    assert main(["schema"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_exits_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("coalmine.cli.schema.run", interrupt)
    assert main(["schema"]) == 130
