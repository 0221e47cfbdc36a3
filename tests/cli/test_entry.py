"""How the process ends: with the verb's exit code and all that was printed, whatever native threads still do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

# What runs in the interpreter's own ending would show up here; a crash of native threads happens in there.
ENDING = "import atexit, sys; atexit.register(print, 'the interpreter ends'); from coalmine.cli import entry; entry()"


@pytest.mark.parametrize(
    ("words", "code", "printed"), [(["--version"], 0, "coalmine "), (["nonsense"], 2, ""), ([], 2, "usage: coalmine")]
)
def test_the_process_ends_at_once_with_the_code_of_its_verb(words: list[str], code: int, printed: str) -> None:
    ran = subprocess.run([sys.executable, "-c", ENDING, *words], capture_output=True, text=True, timeout=60)
    assert ran.returncode == code
    assert ran.stdout.startswith(printed)
    assert "the interpreter ends" not in ran.stdout


def test_the_module_is_the_command() -> None:
    ran = subprocess.run([sys.executable, "-m", "coalmine.cli", "nonsense"], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "unknown verb 'nonsense'" in ran.stderr


def test_a_reader_that_has_gone_is_no_crash() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "coalmine.cli", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait(60) == 141


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["schema"], 1, "error: stdout cannot be written (No space left on device)"),
        (["schema", "-o", "json"], 1, "error: stdout cannot be written (No space left on device)"),
        (["nonsense", "-o", "json"], 2, "unknown verb 'nonsense'"),
    ],
)
def test_a_full_disk_under_what_is_printed_is_one_line(words: list[str], code: int, said: str) -> None:
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "coalmine.cli", *words], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert ran.returncode == code
    assert said in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


def test_where_people_can_be_told_nothing_the_code_stays() -> None:
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "coalmine.cli", "nonsense", "-o", "json"],
            stdout=subprocess.PIPE,
            stderr=full,
            text=True,
            timeout=60,
        )
    assert ran.returncode == 2
    assert json.loads(ran.stdout)["exit"] == 2


def test_what_a_job_waits_for_loads_no_scipy() -> None:
    """Half a second of every job, for statistics that a summary does not show."""
    loaded = "import sys, coalmine.ci.summary, coalmine.cli._watching; print('scipy' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, timeout=60)
    assert ran.stdout == "False\n", ran.stderr
