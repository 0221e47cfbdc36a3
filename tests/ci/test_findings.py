"""What CI systems are shown: GitHub's annotations and SARIF."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from coalmine.ci.findings import Finding, github, sarif
from coalmine.cli import main
from coalmine.errors import Problem
from tests.cli.test_specs import SPEC


@pytest.fixture
def bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A spec with two problems, in the folder where the command runs."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "deploy" / "bad one.yaml"
    path.parent.mkdir()
    path.write_text(SPEC.replace("weight: 50", "weight: 500").replace("min_requests: 2000", "min_requests: -1"))
    return path


def test_github_shows_each_problem_at_its_line(bad: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "deploy/bad one.yaml"
    assert main(["validate", name, "--format", "github"]) == 2
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert len(lines) == 2
    text = bad.read_text().splitlines()
    for line, key in zip(lines, ("min_requests: -1", "weight: 500,"), strict=True):
        number = next(at for at, written in enumerate(text, 1) if key in written)
        assert line.startswith(f"::error file={name},line={number},col=")
        assert ",title=coalmine spec::" in line
    assert "2 problems in 1 of 1 file" in printed.err


def test_nothing_wrong_prints_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "good.yaml"
    path.write_text(SPEC)
    assert main(["validate", str(path), "--format", "github"]) == 0
    assert capsys.readouterr().out == ""


def test_what_would_end_a_command_is_escaped() -> None:
    problem = Problem("steps", "50% of\r\nit", "a,b:c.yaml", 3, 1)
    assert github([Finding("spec", "error", problem)]) == (
        "::error file=a%2Cb%3Ac.yaml,line=3,col=1,title=coalmine spec::steps: 50%25 of%0D%0Ait"
    )


def test_a_sarif_log(bad: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (bad.parent / "warned.yaml").write_text(
        SPEC + 'notify: [{kind: webhook, url: "https://hooks.slack.com/services/T0/B0/x"}]\n'
    )
    assert main(["validate", "deploy/bad one.yaml", "./deploy/warned.yaml", "--format", "sarif"]) == 2
    log = json.loads(capsys.readouterr().out)
    assert log["version"] == "2.1.0"
    [run] = log["runs"]
    known = {rule["id"] for rule in run["tool"]["driver"]["rules"]}
    assert {result["ruleId"] for result in run["results"]} <= known
    assert [(result["ruleId"], result["level"]) for result in run["results"]] == [
        ("spec", "error"),
        ("spec", "error"),
        ("credential", "warning"),
    ]
    places = [result["locations"][0]["physicalLocation"] for result in run["results"]]
    assert [place["artifactLocation"]["uri"] for place in places] == [
        "deploy/bad%20one.yaml",
        "deploy/bad%20one.yaml",
        "deploy/warned.yaml",
    ]
    assert all(place["region"]["startLine"] > 1 and place["region"]["startColumn"] >= 1 for place in places[:2])


def test_what_has_no_place_has_no_region() -> None:
    [named, stdin] = sarif(
        [
            Finding("world", "error", Problem("router", "not reachable", "a.yaml")),
            Finding("spec", "error", Problem("", "is empty", "-")),
        ],
        "1.2.3",
    )["runs"][0]["results"]
    assert named["locations"] == [{"physicalLocation": {"artifactLocation": {"uri": "a.yaml"}}}]
    assert "locations" not in stdin


def test_two_forms_of_stdout_are_one_too_many(bad: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(bad), "--format", "sarif", "-o", "json"]) == 2
    assert "--format sarif and -o json" in capsys.readouterr().err
