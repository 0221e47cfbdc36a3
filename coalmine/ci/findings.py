"""What ``coalmine validate`` found, in the forms that CI systems show at the line they are about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

from coalmine.errors import Problem

Rule = Literal["spec", "credential", "world", "start"]

RULES: Mapping[Rule, str] = {
    "spec": "The spec is not valid: no rollout can start from it.",
    "credential": "The spec holds what looks like a credential: name a secret instead.",
    "start": "The spec is valid, but no rollout may start from it now.",
    "world": "The spec is valid, but the router or a metric source cannot do what it asks for.",
}


@dataclass(frozen=True)
class Finding:
    """One thing that was found, and how bad it is."""

    rule: Rule
    level: Literal["error", "warning"]
    problem: Problem

    @property
    def text(self) -> str:
        """What is wrong, with the key it is about."""
        return ": ".join(part for part in (self.problem.field, self.problem.message) if part)


def github(findings: Iterable[Finding]) -> str:
    """Workflow commands, one a line: GitHub shows each at its line of the change.

    Source: "Workflow commands for GitHub Actions", setting an error message; the escapes are those of its toolkit.
    """
    return "\n".join(_command(finding) for finding in findings)


def _command(finding: Finding) -> str:
    problem = finding.problem
    places = {
        "file": problem.file,
        "line": problem.line or "",
        "col": problem.column or "",
        "title": f"coalmine {finding.rule}",
    }
    given = ",".join(f"{name}={_property(str(value))}" for name, value in places.items() if value)
    return f"::{finding.level} {given}::{_message(finding.text)}"


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")


def sarif(findings: Iterable[Finding], version: str) -> dict[str, Any]:
    """A SARIF log of one run, as code scanning takes it.

    Args:
        findings: In the order they shall be shown.
        version: Coalmine's own.

    Source: SARIF 2.1.0 (OASIS), sections 3.13 to 3.30. Lines and columns count from 1; a finding without a known place
    names its file only.
    """
    rules = [{"id": rule, "shortDescription": {"text": text}} for rule, text in RULES.items()]
    return {
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "coalmine", "semanticVersion": version, "rules": rules}},
                "columnKind": "unicodeCodePoints",
                "results": [_result(finding) for finding in findings],
            }
        ],
    }


def _result(finding: Finding) -> dict[str, Any]:
    problem = finding.problem
    result: dict[str, Any] = {"ruleId": finding.rule, "level": finding.level, "message": {"text": finding.text}}
    if problem.file and problem.file != "-":
        place: dict[str, Any] = {"artifactLocation": {"uri": _uri(problem.file)}}
        if problem.line:
            place["region"] = {"startLine": problem.line, "startColumn": max(problem.column, 1)}
        result["locations"] = [{"physicalLocation": place}]
    return result


def _uri(file: str) -> str:
    absolute = file.startswith("/")
    uri = PurePosixPath("/", file).as_uri()
    # Relative ones stay so: the log is read where the repository lies elsewhere.
    return uri if absolute else uri.removeprefix("file:///")
