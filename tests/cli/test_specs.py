"""validate, plan and schema: nothing but files."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from coalmine.cli import main
from tests.workflows.specs import make_spec

SPEC = """\
service: checkout
environment: production
arms:
  baseline: {version: 1.41.0, backend: checkout-v41}
  canary: {version: 1.42.0, backend: checkout-v42}
route: {router: envoy, name: checkout, files: [/etc/envoy/checkout.yaml], admins: ["http://127.0.0.1:9901"]}
steps:
  - {weight: 1, for: 5m}
  - {weight: 10, for: 10m, min_requests: 2000}
  - {weight: 50, for: 20m, gate: {approval: {by: [sre]}}}
metrics:
  - {name: errors, kind: ratio, template: envoy, max: 0.02}
people: {sre: [ana@example.org]}
sources: {prometheus: {url: "http://127.0.0.1:9090"}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.yaml").write_text(SPEC)
    (tmp_path / "bad.yaml").write_text(SPEC.replace("weight: 50", "weight: 5").replace("people:", "poeple:"))
    return tmp_path


def test_a_good_spec(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "good.yaml"]) == 0
    printed = capsys.readouterr()
    assert printed.out == "good.yaml: valid (checkout 1.41.0 → 1.42.0, 3 steps)\n"
    assert printed.err == ""


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("https://ci.example/deploy", False),
        ("https://ci.example/deploy/${COALMINE_SECRET_CI}?token=${COALMINE_SECRET_CI}", False),
        ("https://ci:${COALMINE_SECRET_CI}@ci.example/deploy", False),
        ("${COALMINE_SECRET_CI_URL}", False),
        ("https://ci.example/deploy/0b5e6f2c-8a47-4c0e-9d6c-2f1f6a1d7c11/start", False),
        ("https://ci.example/deploy?token=0123456789", True),
        ("https://hooks.slack.com/services/T0/B0/x", True),
        ("https://ci.example/hooks/a8f3kd93kfmw0s8d7fjq2lxk", True),
    ],
)
def test_a_credential_in_a_url_is_warned_of_and_not_shown(
    folder: Path, capsys: pytest.CaptureFixture[str], url: str, warned: bool
) -> None:
    (folder / "good.yaml").write_text(f'{SPEC}hooks: {{prepare: "{url}"}}\n')
    assert main(["validate", "good.yaml"]) == 0
    said = capsys.readouterr().out
    assert ("warning: hooks.prepare: holds what looks like a credential" in said) is warned
    assert url not in said


def test_a_bad_spec_says_where(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "good.yaml", "bad.yaml", "missing.yaml"]) == 2
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0].startswith("good.yaml: valid")
    assert any(line.startswith("bad.yaml:10:") and "weight" in line for line in lines)
    assert any(line.startswith("bad.yaml:13:1: poeple: unknown key 'poeple'") for line in lines)
    assert lines[-1] == "missing.yaml: there is no such file"
    assert "in 2 of 3 files" in printed.err


def test_a_bad_spec_for_programs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "bad.yaml", "-o", "json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert told["valid"] is False
    assert told["exit"] == 2
    problem = next(problem for problem in told["files"][0]["problems"] if problem["field"] == "poeple")
    assert (problem["file"], problem["line"], problem["column"]) == ("bad.yaml", 13, 1)


def test_a_bad_spec_is_not_started(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["start", "bad.yaml", "-o", "json"]) == 2
    printed = capsys.readouterr()
    assert all(line.startswith("bad.yaml:") for line in printed.err.splitlines())
    told = json.loads(printed.out)
    assert told["error"]["type"] == "SpecError"
    assert {problem["file"] for problem in told["error"]["problems"]} == {"bad.yaml"}


def test_stdin(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(SPEC.replace("service:", "servcie:")))
    assert main(["validate", "-"]) == 2
    assert "<stdin>:1:1: servcie: unknown key 'servcie': did you mean 'service'?" in capsys.readouterr().out


def test_connect_tells_what_does_not_answer(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    closed = "http://127.0.0.1:9"
    unreachable = SPEC.replace("http://127.0.0.1:9090", closed).replace("http://127.0.0.1:9901", closed)
    (folder / "far.yaml").write_text(unreachable.replace("/etc/envoy", str(folder)))
    assert main(["validate", "--connect", "far.yaml", "-o", "json"]) == 2
    told = json.loads(capsys.readouterr().out)["files"][0]
    assert told["problems"] == []
    assert told["valid"] is False
    assert {check["name"] for check in told["checks"] if not check["ok"]} >= {"source prometheus"}
    assert main(["validate", "--connect", "far.yaml"]) == 2
    printed = capsys.readouterr()
    assert "far.yaml: the spec is valid, its world is not" in printed.out
    assert "  FAIL  source prometheus: " in printed.out
    assert "failed checks in 1 of 1 file" in printed.err


def test_plan(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "good.yaml"]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        "checkout 1.41.0 → 1.42.0 in production",
        "",
        "step  canary  earliest  lasts  looks  requests  gate",
        "   1     1 %       +0s     5m     10",
        "   2    10 %       +5m    10m     20     2,000",
        "   3    50 %      +15m    20m     40            step-3: approval by 1 of sre, at most 4h",
        "       100 %      +35m     1h                   bake",
        "                +1h35m     1d                   promoted; rollback window",
        "",
        "all traffic after 35m at the earliest, 7h35m at the latest; 70 looks of 30s",
    ]


def test_plan_for_programs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "good.yaml", "-o", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["service"], told["version"], told["baseline_version"]) == ("checkout", "1.42.0", "1.41.0")
    assert [step["weight"] for step in told["steps"]] == [1, 10, 50]
    assert told["promotes"] == "35m"


def test_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out)["$schema"].endswith("2020-12/schema")
    assert main(["schema", "-o", "table"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("steps[].gate.approval.by ") for line in lines)
    assert any(line.startswith("sources.<name>.url ") for line in lines)


def test_a_written_model_is_read_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "model.yaml"
    path.write_text(make_spec().model_dump_json(by_alias=True, exclude_none=True))
    assert main(["validate", str(path)]) == 0
