"""``coalmine demo``: a good and two bad releases on the local stack, by real traffic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coalmine.cli import _errors
from coalmine.cli._output import Output, columns
from coalmine.cli._parser import Args, Parser

if TYPE_CHECKING:
    from coalmine.local.demo import DemoReport


def options(parser: Parser, verb: str) -> None:
    """What it takes."""
    parser.add_argument(
        "--folder", metavar="PATH", help="where its files are (default: COALMINE_HOME, or .coalmine/local here)"
    )
    parser.add_argument("--keep", action="store_true", help="leave the stack up afterwards, to look around")
    parser.add_output()
    parser.epilog = "Exits 0 when every release ended as it must, else 1."


def run(args: Args, out: Output) -> int:
    """Run it and print the table."""
    import asyncio
    from pathlib import Path

    from coalmine.local.demo import run_demo
    from coalmine.local.stack import default_folder

    folder = Path(args.folder).absolute() if args.folder else default_folder()
    report = asyncio.run(run_demo(folder, out.say, keep=args.keep))
    code = _errors.DONE if report.right else _errors.INTERNAL
    out.data({**report.as_data(), "exit": code}, _text(report))
    if not report.right:
        out.say(f"not every release ended as it must; logs are in {report.logs}")
    return code


def _text(report: DemoReport) -> str:
    rows = [
        [
            scenario.name,
            scenario.version,
            scenario.outcome.replace("_", " "),
            "as expected" if scenario.right else f"WRONG, expected {scenario.expected.replace('_', ' ')}",
            f"{scenario.canary_requests:,}",
            "" if scenario.seconds_to_rollback is None else f"{scenario.seconds_to_rollback:.1f} s",
            f"{scenario.seconds:.0f} s",
            scenario.reason,
        ]
        for scenario in report.scenarios
    ]
    head = ["release", "version", "outcome", "", "requests", "bad until zero", "took", "why"]
    links = [f"{name}: {link}" for name, link in report.links.items()]
    logs = f"logs: {report.logs} ({report.seconds:.0f} s in all)"
    return "\n".join(["", columns(head, rows, right=[4, 5, 6]), "", *links, logs])
