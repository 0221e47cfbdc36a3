"""Why a start was refused, as annotations at the spec's lines, where GitHub Actions runs it.

They go to stderr, which the runner reads too: stdout stays data.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from coalmine.cli._output import Output
from coalmine.cli._parser import flag
from coalmine.errors import InputError, SpecError

if TYPE_CHECKING:
    from coalmine.ci.findings import Rule
    from coalmine.errors import Problem
    from coalmine.records import Receipt
    from coalmine.spec.canary import CanarySpec

VARIABLE = "GITHUB_ACTIONS"


@contextmanager
def annotating(file: str, out: Output) -> Iterator[None]:
    """Annotate what is wrong with the spec or the command, and let it go on its way."""
    from coalmine.errors import Problem

    try:
        yield
    except SpecError as error:
        _annotate("spec", error.problems, out)
        raise
    except InputError as error:
        _annotate("start", [Problem("", str(error), _named(file))], out)
        raise


def annotate_refusal(receipt: Receipt, spec: CanarySpec, file: str, out: Output) -> None:
    """Annotate each check that stands in the way at the key it is about; the reason alone where none is known."""
    from coalmine.errors import Problem

    if not flag(os.environ, VARIABLE):
        return
    failed = [(check.name, check.reason) for check in receipt.checks if not check.ok]
    problems = []
    for name, reason in failed or [("", receipt.reason)]:
        line, column = _place(file, name, spec)
        problems.append(Problem(name, reason, _named(file), line, column))
    _annotate("start", problems, out)


def _place(file: str, check: str, spec: CanarySpec) -> tuple[int, int]:
    from coalmine.cli._specs import read_text
    from coalmine.spec.document import place_in

    if file == "-":
        return 0, 0
    metrics = [at for at, metric in enumerate(spec.metrics) if metric.name == check]
    source = check.removeprefix("source ")
    paths: list[tuple[str | int, ...]] = [("metrics", at) for at in metrics]
    paths += [("sources", source)] if source != check else []
    paths += [("route",)] if check in ("router", "route file", "weights") else []
    paths += [("policy", "verified_start")] if check == "starter" else []
    # What is about the release as a whole stands at its version.
    return place_in(read_text(file), *paths, ("arms", "canary", "version"))


def _annotate(rule: Rule, problems: Sequence[Problem], out: Output) -> None:
    from coalmine.ci.findings import Finding, github

    if flag(os.environ, VARIABLE):
        out.say(github(Finding(rule, "error", problem) for problem in problems))


def _named(file: str) -> str:
    return "" if file == "-" else file
