"""``coalmine doctor``: is everything here that a rollout needs?"""

from __future__ import annotations

from coalmine.cli import _errors
from coalmine.cli._output import Output, plain
from coalmine.cli._parser import Args, Parser

_MARKS = {"ok": "ok    ", "warning": "warn  ", "error": "ERROR "}


def options(parser: Parser, verb: str) -> None:
    """What it takes."""
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        help="a spec: what can be done with its route from here, and what its metrics have now",
    )
    parser.add_connection()
    parser.add_output()
    parser.epilog = "Exits 1 when something is wrong; a warning is no error."


def run(args: Args, out: Output) -> int:
    """Look at everything, also after the first thing that is wrong."""
    import asyncio

    from coalmine.cli._health import examine
    from coalmine.cli._spec_health import ARMS
    from coalmine.cli._specs import read_spec

    spec = read_spec(args.file) if args.file else None
    findings, health = asyncio.run(examine(args.profile, spec))
    wrong = sum(finding.level == "error" for finding in findings)
    code = _errors.INTERNAL if wrong else _errors.DONE
    width = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{_MARKS[finding.level]} {finding.name.ljust(width)}  {finding.detail}")
        if finding.mend:
            lines.append(f"{' ' * (width + 9)}{finding.mend}")
    data = {"healthy": not wrong, "findings": [plain(finding) for finding in findings], "exit": code}
    if health is not None:
        arms = {arm: {"requests_per_second": health.rate(arm)} for arm in ARMS}
        data["spec"] = {"route": plain(health.route), "metrics": [plain(one) for one in health.metrics], "arms": arms}
    out.data(data, "\n".join(lines))
    if wrong:
        out.say(f"{wrong} thing{'s' * (wrong != 1)} to mend")
    return code
