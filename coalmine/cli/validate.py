"""``coalmine validate``: check specs, and with ``--connect`` the world they name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from coalmine.cli import _errors
from coalmine.cli._output import Output
from coalmine.cli._parser import Args, Parser

if TYPE_CHECKING:
    from coalmine.records import Check


def options(parser: Parser, verb: str) -> None:
    """What it takes."""
    parser.add_argument("files", metavar="FILE", nargs="+", help="specs; - reads stdin")
    parser.add_argument(
        "--connect",
        action="store_true",
        help="ask the router and the metric sources from here: both arms answer, bounds are equal, weights can be set",
    )
    parser.add_argument(
        "--format",
        choices=("github", "sarif"),
        help="print what is wrong for a CI system: GitHub's annotations, or a SARIF log for code scanning",
    )
    parser.add_output()
    parser.epilog = (
        "Prints a line per problem, file:line:column: key: what is wrong, and warns of credentials in URLs. "
        "Exits 0 or 2."
    )


def run(args: Args, out: Output) -> int:
    """Check every file, and go on after a bad one."""
    from coalmine.errors import InputError

    if args.format and args.output != "table":
        raise InputError(f"--format {args.format} and -o {args.output} both say what goes to stdout: give one of them")
    results = [_examine(file, args.connect) for file in args.files]
    lines: list[str] = []
    for result in results:
        lines += result.pop("lines")
    wrong = sum(not result["valid"] for result in results)
    if args.format:
        _print_findings(args.format, results, out)
    else:
        out.data({"valid": not wrong, "files": results, "exit": _errors.USAGE if wrong else 0}, "\n".join(lines))
    if wrong:
        problems = sum(len(result["problems"]) for result in results)
        checks = sum(not check["ok"] for result in results for check in result["checks"])
        counted = [f"{problems} problem{'s' * (problems != 1)}"] if problems or not checks else []
        counted += [f"{checks} failed check{'s' * (checks != 1)}"] if checks else []
        out.say(f"{' and '.join(counted)} in {wrong} of {len(results)} file{'s' * (len(results) != 1)}")
    return _errors.USAGE if wrong else _errors.DONE


def _print_findings(form: str, results: Sequence[Mapping[str, Any]], out: Output) -> None:
    from coalmine import __version__
    from coalmine.ci.findings import Finding, github, sarif
    from coalmine.errors import Problem

    found = []
    for result in results:
        found += [Finding("spec", "error", Problem(**problem)) for problem in result["problems"]]
        found += [Finding("credential", "warning", Problem(**warning)) for warning in result["warnings"]]
        failed = [check for check in result["checks"] if not check["ok"]]
        found += [
            Finding("world", "error", Problem(check["name"], check["reason"], result["file"])) for check in failed
        ]
    if form == "github":
        out.line(None, github(found))
    else:
        Output("json").data(sarif(found, __version__), "")


def _examine(file: str, connect: bool) -> dict[str, Any]:
    from coalmine.cli._specs import read_spec
    from coalmine.errors import InputError, Problem, SpecError
    from coalmine.spec.credentials import literal_credentials

    result: dict[str, Any] = {"file": file, "valid": False, "problems": [], "warnings": [], "checks": [], "lines": []}
    try:
        spec = read_spec(file)
    except SpecError as error:
        result["problems"] = [asdict(problem) for problem in error.problems]
        result["lines"] = [str(problem) for problem in error.problems]
        return result
    except InputError as error:
        result["problems"] = [asdict(Problem("", str(error), file))]
        result["lines"] = [str(error)]
        return result
    warnings = literal_credentials(spec, file)
    result["warnings"] = [asdict(warning) for warning in warnings]
    checks: list[Check] = []
    if connect:
        from coalmine.cli._connect import check_world

        checks = check_world(spec)
    result["valid"] = all(check.ok for check in checks)
    result["checks"] = [check.model_dump(mode="json") for check in checks]
    what = f"{spec.service} {spec.arms.baseline.version} → {spec.arms.canary.version}, {len(spec.steps)} steps"
    result["lines"] = [f"{file}: {'valid' if result['valid'] else 'the spec is valid, its world is not'} ({what})"]
    result["lines"] += [f"  warning: {warning.field}: {warning.message}" for warning in warnings]
    result["lines"] += [f"  {'ok  ' if check.ok else 'FAIL'}  {check.name}: {check.reason}" for check in checks]
    return result
