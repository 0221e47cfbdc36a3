"""``coalmine list``: rollouts by service and environment."""

from __future__ import annotations

import argparse

from coalmine.cli._output import Output, columns, plain
from coalmine.cli._parser import Args, Parser


def options(parser: Parser, verb: str) -> None:
    """What it takes."""
    parser.add_argument("--service", metavar="NAME", help="only this service")
    parser.add_place()
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--open", dest="running", action="store_true", default=None, help="only those that are open")
    which.add_argument("--closed", dest="running", action="store_false", help="only those that are closed")
    parser.add_argument("--limit", metavar="N", type=_count, default=50, help="at most so many (default: 50)")
    parser.add_connection()
    parser.add_output()
    parser.epilog = "Needs no worker: it reads search attributes."


def run(args: Args, out: Output) -> int:
    """List."""
    from coalmine.cli import _words
    from coalmine.cli._session import on_connection
    from coalmine.client import Coalmine, RolloutRow

    async def asked(coalmine: Coalmine) -> list[RolloutRow]:
        return await coalmine.rollouts(
            service=args.service,
            environment=args.environment,
            region=args.region,
            running=args.running,
            limit=args.limit,
        )

    rows = on_connection(args, asked)
    head = ["service", "environment", "version", "stands", "canary", "started", "closed"]
    cells = [
        [
            row.service,
            row.environment + (f"/{row.region}" if row.region else ""),
            row.version,
            (row.outcome or row.phase).replace("_", " ") + (" (window)" if row.open and row.outcome else ""),
            f"{row.canary_weight:g} %",
            _words.moment(row.started_at),
            _words.moment(row.closed_at),
        ]
        for row in rows
    ]
    out.data({"rollouts": [plain(row) for row in rows]}, columns(head, cells, right=[4]) if rows else "")
    if not rows:
        out.say("no rollouts")
    return 0


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10) or not 1 <= int(text) <= 10_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 10000")
    return int(text)
