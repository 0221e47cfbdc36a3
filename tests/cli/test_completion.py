"""Completion scripts, in the shells they are for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from coalmine.cli import main
from coalmine.cli._verbs import VERBS

ASK = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
function=$(complete -p coalmine | sed 's/.*-F \\([^ ]*\\).*/\\1/')
"$function"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def bash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The script for bash, and a coalmine that lists two services."""
    assert main(["completion", "bash"]) == 0
    path = tmp_path / "coalmine.bash"
    path.write_text(capsys.readouterr().out)
    program = tmp_path / "bin/coalmine"
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\n[ "$*" = "list --open" ] && printf "service  environment\\ncheckout  a\\ncart  b\\ncart  c\\n"\n'
    )
    program.chmod(0o755)
    return path


def _completed(script: Path, *words: str) -> list[str]:
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-c", ASK, "ask", str(script), *words],
        cwd=script.parent,
        env={"PATH": f"{script.parent}/bin:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
    return [line for line in done.stdout.splitlines() if line]


def test_bash_completes_verbs_options_values_files_and_services(bash: Path) -> None:
    assert set(_completed(bash, "coalmine", "")) >= set(VERBS)
    assert sorted(_completed(bash, "coalmine", "st")) == ["start", "status"]
    assert sorted(_completed(bash, "coalmine", "start", "--w")) == ["--wait", "--watch"]
    assert _completed(bash, "coalmine", "validate", "--format", "s") == ["sarif"]
    assert _completed(bash, "coalmine", "list", "-o", "") == ["table", "json", "jsonl"]
    (bash.parent / "release.yaml").write_text("")
    assert _completed(bash, "coalmine", "start", "rel") == ["release.yaml"]
    assert _completed(bash, "coalmine", "start", "x.yaml", "--summary", "rel") == ["release.yaml"]
    assert _completed(bash, "coalmine", "approve", "c") == ["cart", "checkout"]
    assert _completed(bash, "coalmine", "watch", "checkout", "ca") == ["cart"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_can_read_its_script(shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell, "-o", "json"]) == 0
    text = json.loads(capsys.readouterr().out)["script"]
    assert f"# coalmine completion {shell} > " in text.splitlines()[0 if shell != "zsh" else 1]
    assert all(verb in text for verb in VERBS)
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed here")
    path = tmp_path / f"coalmine.{shell}"
    path.write_text(text)
    done = subprocess.run([shell, "-n", str(path)], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_unknown_shell_names_those_that_are_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "tcsh"]) == 2
    assert "choose from" in capsys.readouterr().err
