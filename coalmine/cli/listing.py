"""``coalmine list``: rollouts by service and environment; with ``--watch`` it goes on listing."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from coalmine.cli._output import Output, columns, plain
from coalmine.cli._parser import FORMS, Args, Parser, duration

if TYPE_CHECKING:
    from coalmine.client import Coalmine, RolloutRow


def options(parser: Parser, verb: str) -> None:
    """What it takes."""
    parser.add_argument("--service", metavar="NAME", help="only this service")
    parser.add_place()
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--open", dest="running", action="store_true", default=None, help="only those that are open")
    which.add_argument("--closed", dest="running", action="store_false", help="only those that are closed")
    parser.add_argument("--limit", metavar="N", type=_count, default=50, help="at most so many (default: 50)")
    parser.add_argument(
        "--watch",
        action="store_true",
        help="go on: a page that redraws itself, elsewhere a line per change; Ctrl-C detaches",
    )
    parser.add_argument("--timeout", metavar="TIME", type=duration, help="stop watching after this time (exit 8)")
    parser.add_connection()
    parser.add_output((*FORMS, "jsonl"))
    parser.epilog = (
        "Needs no worker: it reads search attributes. jsonl prints a rollout, or with --watch a change, a line."
    )


def run(args: Args, out: Output) -> int:
    """List, once or for as long as somebody watches."""
    from coalmine.cli import _words
    from coalmine.cli._fleet_page import stands
    from coalmine.cli._session import on_connection
    from coalmine.errors import InputError

    if args.timeout is not None and not args.watch:
        raise InputError("--timeout is for watching: add --watch")
    if args.watch and args.running is False:
        raise InputError("--closed lists what is over: nothing of it changes, so leave --watch out")
    if args.watch:
        return watch_fleet(args, out, "coalmine list --watch")

    # One more than is shown tells whether there are more.
    rows = on_connection(args, lambda coalmine: _listed(coalmine, args, args.running, args.limit + 1))
    if len(rows) > args.limit:
        out.say(f"there are more than {args.limit}: only the first are listed; --limit takes up to 10000")
    rows = rows[: args.limit]
    if out.form == "jsonl":
        for row in rows:
            out.line(plain(row), "")
        return 0
    head = ["service", "environment", "version", "stands", "canary", "started", "closed"]
    cells = [
        [
            row.service,
            row.environment + (f"/{row.region}" if row.region else ""),
            row.version,
            stands(row),
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


def watch_fleet(args: Args, out: Output, command: str) -> int:
    """Watch everything that ``args`` lets through; ``command`` is what was typed, without its filters."""
    from coalmine.cli._fleet_watching import FleetWatcher
    from coalmine.cli._session import on_connection

    words = [command]
    for option, value in (("--service", args.service), ("-e", args.environment), ("--region", args.region)):
        words += [option, value] if value else []
    watcher = FleetWatcher(
        out,
        lambda coalmine, limit: _listed(coalmine, args, None, limit),
        args.timeout,
        " ".join(words),
        most=args.limit,
        open_only=bool(args.running),
    )
    try:
        return on_connection(args, watcher.watch)
    except KeyboardInterrupt:
        return watcher.finish("detached")


async def _listed(coalmine: Coalmine, args: Args, running: bool | None, limit: int) -> list[RolloutRow]:
    return await coalmine.rollouts(
        service=args.service,
        environment=args.environment,
        region=args.region,
        running=running,
        limit=limit,
    )


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10) or not 1 <= int(text) <= 10_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 10000")
    return int(text)
