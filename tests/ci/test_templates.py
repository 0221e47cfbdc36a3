"""The templates of infra/ci: valid by the published schemas, and their scripts run from a pinned copy."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from ruamel.yaml import YAML

from coalmine.ci.outputs import as_lines, failure_outputs
from coalmine.command_input import LONGEST_TEXT
from coalmine.spec.durations import parse_duration

CI = Path(__file__).parents[2] / "infra/ci"


def _documents(path: Path) -> list[Any]:
    return list(YAML(typ="safe", pure=True).load_all(path.read_text()))


def _schema(name: str) -> Any:
    """A schema as its owner publishes it; the package check-jsonschema brings a copy."""
    return json.loads((files("check_jsonschema") / f"builtin_schemas/vendor/{name}.json").read_text())


def _check(document: Any, schema: Any) -> None:
    kind = jsonschema.validators.validator_for(schema)
    assert [error.message for error in kind(schema).iter_errors(document)] == []


def test_the_action_is_valid_and_tells_of_every_input_and_output() -> None:
    [action] = _documents(CI / "github/action.yml")
    _check(action, _schema("github-actions"))
    page = (CI.parents[1] / "docs/ci.md").read_text()
    for name, given in (*action["inputs"].items(), *action["outputs"].items()):
        assert given["description"]
        assert f"`{name}`" in page, name
    # Whatever it uses is pinned: it uses nothing.
    assert not [step for step in action["runs"]["steps"] if "uses" in step]


def test_no_input_is_part_of_a_script() -> None:
    [action] = _documents(CI / "github/action.yml")
    assert [step["run"] for step in action["runs"]["steps"] if "${{" in step["run"]] == []


def test_the_gitlab_component_is_valid() -> None:
    spec, job = _documents(CI / "gitlab/rollout.yml")
    whole = _schema("gitlab-ci")
    _check(spec, whole)
    filled = json.loads(json.dumps(job))
    _check(filled, whole)
    page = (CI.parents[1] / "docs/ci.md").read_text()
    for name, given in spec["spec"]["inputs"].items():
        assert given["description"]
        assert f"`{name}`" in page, name
    # A version that supersedes the one that is watched has to get past its watcher.
    assert "resource_group" not in job["coalmine rollout"]
    used = json.dumps(job)
    assert all(f"inputs.{name} " in used for name in spec["spec"]["inputs"])


@pytest.mark.parametrize("given", [None, "30m", "1h30m"])
def test_gitlab_lets_the_job_live_longer_than_it_waits(given: str | None) -> None:
    """GitLab adds up the parts of a time (its chronic_duration), as ours does once the space is gone."""
    spec, document = _documents(CI / "gitlab/rollout.yml")
    [job] = document.values()
    waits = given or spec["spec"]["inputs"]["timeout"]["default"]
    filled = job["timeout"].replace("$[[ inputs.timeout ]]", waits)
    assert job["variables"]["COALMINE_TIMEOUT"] == "$[[ inputs.timeout ]]"
    assert parse_duration(filled.replace(" ", "")) == parse_duration(waits) + timedelta(minutes=15)


def test_gitlab_takes_the_outputs_whatever_a_person_gave_as_reason() -> None:
    """It refuses a dotenv report of more than 5 KB, and the job with it."""
    written = as_lines(failure_outputs(4, f"rollback by bo: {'遅' * LONGEST_TEXT}"))
    assert len(written.encode()) < 5 * 1024
    assert "遅…\n" in written


def test_github_lets_the_job_live_longer_than_it_waits() -> None:
    """``timeout-minutes`` is 360 where nobody says, and the most a hosted runner gives; an action cannot set it."""
    [action] = _documents(CI / "github/action.yml")
    waits = action["inputs"]["timeout"]["default"]
    assert parse_duration(waits) + timedelta(minutes=15) <= timedelta(minutes=360)
    assert f"| `timeout` | `{waits}` |" in (CI.parents[1] / "docs/ci.md").read_text()


def test_the_workflow_in_the_docs_is_valid() -> None:
    page = (CI.parents[1] / "docs/ci.md").read_text()
    workflows = [block.split("```")[0] for block in page.split("```yaml\n")[1:] if "runs-on:" in block.split("```")[0]]
    assert workflows
    for text in workflows:
        _check(YAML(typ="safe", pure=True).load(text), _schema("github-workflows"))


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the folder as a repository that pins it has, and a coalmine that tells how it was called."""
    shutil.copytree(CI, tmp_path / "vendored/infra/ci")
    program = tmp_path / "bin/coalmine"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$*"\nenv | grep -E "^COALMINE_(IDENTITY|DEPLOYMENT)[A-Z_]*=" | sort || true\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return tmp_path


def _run(copied: Path, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", "-e", "-c", script],
        env={"PATH": f"{copied}/bin:/usr/bin:/bin", **variables},
        cwd=copied,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_action_starts_from_a_pinned_copy(copied: Path) -> None:
    [action] = _documents(CI / "github/action.yml")
    [step] = [step for step in action["runs"]["steps"] if step.get("id") == "release"]
    # What a checkout without modes leaves.
    script = copied / "vendored/infra/ci/shell/release.sh"
    script.chmod(0o644)
    given = {name: value for name, value in step["env"].items() if "${{" not in value}
    ran = _run(
        copied,
        step["run"],
        **given,
        GITHUB_ACTION_PATH=str(copied / "vendored/infra/ci/github"),
        SPEC="deploy/checkout spec.yaml",
        OPTIONS="--author bo@example.org *",
        COALMINE_DETACH="0",
        COALMINE_TIMEOUT="45m",
        COALMINE_IDENTITY="github",
        COALMINE_DEPLOYMENT="7",
        GITHUB_OUTPUT="outputs",
    )
    assert ran.returncode == 0, ran
    told = ran.stdout.splitlines()
    assert told[0] == "validate deploy/checkout spec.yaml --format github"
    start = (
        "start deploy/checkout spec.yaml --automated --author bo@example.org * --outputs outputs --watch --timeout 45m"
    )
    assert start in told
    assert told.count("COALMINE_IDENTITY=github") == 2
    assert told.count("COALMINE_DEPLOYMENT=7") == 2


@pytest.mark.parametrize(
    ("version", "said"), [("0.1.0", "coalmine==0.1.0"), ("source", "vendored/infra/ci/github/../../..")]
)
def test_the_action_installs_what_it_is_told(copied: Path, version: str, said: str) -> None:
    [action] = _documents(CI / "github/action.yml")
    python = copied / "bin/python3"
    python.write_text('#!/bin/sh\necho "$*"\n')
    python.chmod(0o755)
    action_path = str(copied / "vendored/infra/ci/github")
    ran = _run(copied, action["runs"]["steps"][0]["run"], GITHUB_ACTION_PATH=action_path, VERSION=version)
    assert ran.returncode == 0, ran
    assert ran.stdout.startswith("-m pip install --quiet ")
    assert ran.stdout.strip().endswith(said)


def test_what_source_installs_is_this_project() -> None:
    root = (CI / "github/../../..").resolve()
    assert 'name = "coalmine"' in (root / "pyproject.toml").read_text()


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, ["start x.yaml --automated --summary rollout.md --outputs rollout.env --wait --timeout 6h"]),
        ({"COALMINE_DETACH": "1"}, ["start x.yaml --automated --summary rollout.md --outputs rollout.env"]),
        ({"COALMINE_PROVE": "1"}, ["COALMINE_IDENTITY_TOKEN=jwt"]),
    ],
)
def test_the_gitlab_job_runs(copied: Path, variables: dict[str, str], said: list[str]) -> None:
    _, document = _documents(CI / "gitlab/rollout.yml")
    [job] = document.values()
    given = {"COALMINE_SPEC": "x.yaml", "COALMINE_TIMEOUT": "6h", "COALMINE_DETACH": "0", "COALMINE_PROVE": "0"}
    ran = _run(copied, "\n".join(job["script"]), **{**given, "COALMINE_GITLAB_TOKEN": "jwt", **variables})
    assert ran.returncode == 0, ran
    lines = ran.stdout.splitlines()
    assert lines[0] == "validate x.yaml"
    assert set(said) <= set(lines)
    if "COALMINE_PROVE" not in variables:
        assert not [line for line in lines if line.startswith("COALMINE_IDENTITY_TOKEN")]


def test_a_gitlab_job_ends_with_the_rollouts_code(copied: Path) -> None:
    _, document = _documents(CI / "gitlab/rollout.yml")
    [job] = document.values()
    program = copied / "bin/coalmine"
    program.write_text('#!/bin/sh\n[ "$1" = validate ] || exit 3\n')
    given = {"COALMINE_SPEC": "x.yaml", "COALMINE_TIMEOUT": "6h", "COALMINE_DETACH": "0", "COALMINE_PROVE": "0"}
    assert _run(copied, "\n".join(job["script"]), **given).returncode == 3
    assert os.access(CI / "shell/release.sh", os.X_OK)
    assert sys.executable
