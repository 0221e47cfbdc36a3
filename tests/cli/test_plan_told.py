"""What ``coalmine plan`` says, to the letter.

The forecasts behind it are held against the judge itself by ``benchmarks.plan``. When a change of them is meant, run
``python -m tests.cli.test_plan_told`` and read the difference.
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import pytest

from coalmine.cli import main

TOLD = Path(__file__).with_name("plans")
ASKED = {
    "trickle": ("both.yaml", "--rps", "9", "--history", "none"),
    "low-traffic": ("both.yaml", "--rps", "60", "--history", "none"),
    "quiet-service": (
        *("both.yaml", "--rps", "300", "--history", "quiet", "--baseline", "errors=0.03%"),
        *("--regression", "1.05", "--regression", "3"),
    ),
    "more-weight": ("both.yaml", "--rps", "100", "--history", "quiet", "--regression", "3"),
    "plenty": ("both.yaml", "--rps", "5000", "--history", "quiet", "-o", "json"),
    "further-kinds": (
        *(
            "further.yaml",
            "--rps",
            "100",
            "--history",
            "none",
            "--baseline",
            "orders=20000",
            "--baseline",
            "restarts=12",
        ),
        *("--noise", "cpu=8%", "--burn", "6.5", "--burn", "5", "--regression", "2.2"),
    ),
    "starved": ("both.yaml", "--rps", "20", "--history", "none", "--baseline", "latency=2%", "-o", "json"),
}


def told(words: tuple[str, ...]) -> str:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["plan", str(TOLD / words[0]), *words[1:]])
    return f"{out.getvalue()}{err.getvalue()}exit {code}\n"


@pytest.mark.parametrize("name", ASKED)
def test_it_says_what_it_said(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert told(ASKED[name]) == (TOLD / f"{name}.txt").read_text(encoding="utf-8")


if __name__ == "__main__":
    for one, asked in ASKED.items():
        (TOLD / f"{one}.txt").write_text(told(asked), encoding="utf-8")
